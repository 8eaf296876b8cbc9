"""MLflow: runs, registered versions, the gate to the alias `champion`, and the card that is kept with a version."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
