"""A bundle: the folder of UBJ, JSON and Parquet that gets served, verified by the SHA-256 of every file."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
