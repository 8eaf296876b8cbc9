"""Ways of learning risk behind one protocol; what can be written without pickle can be served.

The promise: a learner is imported when it is asked for by name, and with it what it alone needs.
"""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
