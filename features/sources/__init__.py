"""Sources into the record: one format a module, each with `ingest(source, record_dir, *, replace, progress)`."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
