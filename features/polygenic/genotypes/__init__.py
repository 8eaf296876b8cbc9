"""Genotype files behind one protocol: PGEN, BED, VCF and BCF, whole or by chromosome."""

from features.polygenic.genotypes.dosages import read_dosages
from features.polygenic.genotypes.fileset import open_genotypes
from features.polygenic.genotypes.protocol import Genotypes, SiteReader, lists_only_variants
from features.polygenic.genotypes.request import AllelePairs, Request

__all__ = ["AllelePairs", "Genotypes", "Request", "SiteReader", "lists_only_variants", "open_genotypes", "read_dosages"]
