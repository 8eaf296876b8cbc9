"""Weighted sums of effect alleles over the genotypes, in one pass for every score."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
