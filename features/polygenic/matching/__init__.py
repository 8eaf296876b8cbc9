"""Which variant of a score is which variant of the genotypes, by the published rules, and a report of each row."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
