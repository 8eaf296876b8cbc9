"""A quick start: the compiled loops are loaded while files are read, and libraries that nothing here uses are not."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas:
    """Finds no pandas, and leaves other modules to other finders."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Called by the import system."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not loaded for this command", name=name)
        return None


@contextmanager
def without_pandas() -> Iterator[None]:
    """For a command that is the whole process: pyarrow looks for pandas at its first array, to know its types.

    That is a third of a second of a two-second run. Where pandas has been imported before, it stays.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def loading_kernels() -> Iterator[None]:
    """Import Numba and load the compiled loops from its cache while the body runs (two thirds of a second)."""
    with ThreadPoolExecutor(1) as pool:
        loaded = pool.submit(_load)
        yield
        loaded.result()


def _load() -> None:
    from features.polygenic.lookup import load

    load()
