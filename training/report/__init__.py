"""What people see of a training: numbers in words, figures, and one page that opens offline."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
