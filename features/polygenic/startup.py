"""A quick and small start: pandas is not loaded, and memory is given back."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Absent:
    """Finds no pandas; other modules are left to other finders."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Called by the import system."""
        if name == "pandas":
            raise ModuleNotFoundError(f"{name} is not loaded for this command", name=name)
        return None


@contextmanager
def lean() -> Iterator[None]:
    """For a command that is the whole process: no pandas, no collector of cycles, and memory that can be given back.

    pyarrow looks for pandas at its first array, to know its types, and would import it. What has been imported before
    stays. The collector, and its last look as the process ends, find nothing: a tenth of a second of one score's run.
    OpenBLAS's threads wait in a loop, with short products to do.
    pyarrow's own pool keeps what is freed, by thread; the system's gives it back.
    """
    finder = _Absent()
    sys.meta_path.insert(0, finder)
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    alone, collecting = "pandas" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        if alone:  # else the process looks through all of it once more as it ends
            gc.freeze()
        if collecting:
            gc.enable()


def give_back() -> None:
    """Return freed memory to the system, after a file of which little is kept."""
    import pyarrow as pa

    pa.system_memory_pool().release_unused()
