"""What each request and answer passes outside the gate: security headers, the shape of errors, readiness, bodies."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
