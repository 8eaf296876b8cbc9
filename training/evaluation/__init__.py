"""Numbers about risks against what happened; figures draw them and words put them into sentences elsewhere."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
