"""A learner's fitted model as it is served: it answers with risks, explains them, and is read from its folder.

The promise: nothing here learns, and reading a model imports only what that model's own learner needs.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
