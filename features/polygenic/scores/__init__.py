"""Polygenic scores as published: scoring files and tables of weights."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
