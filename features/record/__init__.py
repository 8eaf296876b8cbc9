"""The record on disk: a valid MEDS data set with genomic tables beside it, and who is which subject."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
