"""The model card: its items, the facts that answer them from a training, and what a person must answer."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
