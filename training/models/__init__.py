"""The clinical and the combined model of a study, each calibrated on the people it serves; all that serving runs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
