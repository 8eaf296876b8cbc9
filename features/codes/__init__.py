"""Clinical codes and units: code lists, comorbidity maps, and what a unit means."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
