"""Ancestry: components of a reference, where somebody lies on them, and scores adjusted for it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
