"""People into receipts: the champion of a model, who may be scored, the risk, and the reasons for it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
