"""The clinical and the combined model of a study, each calibrated on the people it serves, as they are served.

The promise: nothing here learns. How a pair is learned is `training.fitting`.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
