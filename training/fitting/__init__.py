"""Fits the clinical and the combined model of a candidate, and calibrates each; what is served is `training.models`.

The promise: everything that is learned here, calibration and scores of genotypes too, is learned on the rows given.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
