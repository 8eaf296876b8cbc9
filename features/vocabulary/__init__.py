"""Vocabularies that a site loads: which concept lies below which, for every source of every record.

The promise: a vocabulary is loaded once, under its release and the digest of its files, and read by all sources alike;
RxNorm's RRF, SNOMED CT's RF2 and an OMOP vocabulary export give the same ancestors.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
