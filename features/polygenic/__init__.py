"""Polygenic scores: genotypes and scoring files in, sums, matches and ancestry-adjusted scores out."""
