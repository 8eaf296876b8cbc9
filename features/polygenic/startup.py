"""A quick and small start: compiled loops are loaded while files are read, pandas is not, and memory is given back."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from threading import current_thread
from types import ModuleType

_LOADER = "presage-kernels"


class _Absent:
    """Finds no pandas, and no SciPy for Numba; other modules are left to other finders."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Called by the import system."""
        if name == "pandas" or (name == "scipy" and current_thread().name.startswith(_LOADER)):
            raise ModuleNotFoundError(f"{name} is not loaded for this command", name=name)
        return None


@contextmanager
def lean() -> Iterator[None]:
    """For a command that is the whole process: no pandas, and memory that can be given back.

    pyarrow looks for pandas at its first array, to know its types, and Numba for SciPy's BLAS: together half a second
    of a two-second run. What has been imported before stays. pyarrow's own pool keeps what is freed, by thread; the
    system's gives it back.
    """
    finder = _Absent()
    sys.meta_path.insert(0, finder)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def give_back() -> None:
    """Return freed memory to the system, after a file of which little is kept."""
    import pyarrow as pa

    pa.system_memory_pool().release_unused()


@contextmanager
def loading_kernels() -> Iterator[None]:
    """Import Numba and load the compiled loops from its cache while the body runs (two thirds of a second)."""
    with ThreadPoolExecutor(1, thread_name_prefix=_LOADER) as pool:
        loaded = pool.submit(_load)
        yield
        loaded.result()


def _load() -> None:
    from features.polygenic.lookup import load

    load()
