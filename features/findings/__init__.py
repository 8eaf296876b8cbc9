"""Laboratories' genomic findings: reports in several shapes become one table of findings and one of coverage."""
