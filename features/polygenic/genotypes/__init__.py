"""Genotype files behind one protocol: PGEN, BED, VCF and BCF, whole or by chromosome."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
