"""The store: users, panels, policies, flags with their history, receipts and the audit trail of every look."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
