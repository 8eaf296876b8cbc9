"""Receipts and findings into flags, by a policy: who is raised, kept and cleared."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
