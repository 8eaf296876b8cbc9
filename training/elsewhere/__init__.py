"""A trained model, unchanged, on people of another place: its risks there, and how they compare."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
