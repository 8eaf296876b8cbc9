"""OMOP CDM 5.3 and 5.4 into the record: CSV, Parquet or DuckDB."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach_stub(__name__, __file__)
