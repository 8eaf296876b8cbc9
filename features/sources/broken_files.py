"""Files that are damaged or not of the kind that their name says, as one error that names the file and the way out."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import PresageError

DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, zipfile.BadZipFile)
_ROWS = 100_000
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DAMAGE = "one that is damaged, or another kind of file"
_ANEW = "fetch it again, or write it anew"


@contextmanager
def named(where: str, kind: str) -> Iterator[None]:
    """Turn an error in reading a file of this kind (`gzip`) into one that names the file and holds no value of a
    person.
    """
    expected = f"a whole {kind} file"
    try:
        yield
    except (*DAMAGED, pa.ArrowInvalid):
        raise PresageError(where, expected, found=_DAMAGE, way_out=_ANEW) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise PresageError(where, expected, found=_DAMAGE, way_out=_ANEW) from None
    except NotImplementedError:
        raise PresageError(
            where, "a zip that can be unpacked", found="a kind of packing that is not known", way_out="give a plain zip"
        ) from None
    except RuntimeError as error:
        if "encrypted" not in str(error):
            raise
        raise PresageError(
            where, "a zip without a password", found="one with a password", way_out="unpack it first"
        ) from None


def check_parquet(paths: Iterable[Path]) -> None:
    """Raise PresageError for the first of these Parquet files that has no whole footer."""
    for path in paths:
        with named(path.name, "Parquet"):
            pq.read_metadata(path)


@contextmanager
def damage_named(paths: Callable[[], Iterable[Path]]) -> Iterator[None]:
    """Turn an error of the engine into one that names the first of these Parquet files that cannot be read to its end.

    The files are read for that only after an error. Where all of them can be read, the error is another one and stands.
    """
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error:
        for path in paths():
            _read_whole(path)
        raise


def _read_whole(path: Path) -> None:
    try:
        with duckdb.connect() as connection:
            for _ in connection.read_parquet(str(path)).to_arrow_reader(_ROWS):
                pass
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, pa.ArrowException, OSError):
        raise PresageError(
            f"{path.parent.name}/{path.name}",
            "a whole Parquet file",
            found="one of which a part is damaged",
            way_out=_ANEW,
        ) from None


def check_utf_8(where: str, start: bytes) -> None:
    """Raise PresageError where the first bytes of a text are the mark of UTF-16."""
    if start.startswith(_UTF_16):
        raise PresageError(where, "text in UTF-8", found="UTF-16", way_out="save it as UTF-8")


def check_columns(where: str, columns: Iterable[str]) -> None:
    """Raise PresageError where two columns have the same name, in whatever case."""
    for name, n in Counter(column.lower() for column in columns).items():
        if n > 1:
            raise PresageError(
                where, "every column once", found=f"column '{name}' {n} times", way_out="keep one of them"
            )
