"""Who may come in and look: roles and panels, sign-ins, and the gate before every route."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
