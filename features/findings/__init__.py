"""Laboratories' genomic findings: reports in several shapes become one table of findings and one of coverage."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
