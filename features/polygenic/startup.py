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
    """Start a command that is the whole process quickly and in little memory: no pandas, no collection of cycles.

    pyarrow looks for pandas when it makes its first array, to know pandas' types, and would import it; it is told that
    there is none. Modules that have been imported before stay. The collector of cycles, and its last look as the
    process ends, would find nothing; without it a run of one score is a tenth of a second shorter. OpenBLAS is kept
    from letting threads wait in a loop for the short products of a run. pyarrow takes its memory from the system's
    allocator, which gives freed memory back; its own pool keeps it, thread by thread.
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
    """Return freed memory to the system, after reading a file of which little is kept."""
    import pyarrow as pa

    pa.system_memory_pool().release_unused()
