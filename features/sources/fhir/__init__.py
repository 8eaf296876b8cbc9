"""FHIR R4 into the record: bulk exports and bundles."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
