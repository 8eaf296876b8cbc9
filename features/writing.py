"""Results on disk whole or not at all: made beside their place, and moved there when they are complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from features.errors import PresageError


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all; folders on the way to `path` are made.

    >>> with TemporaryDirectory() as folder:
    ...     write_text(Path(folder, "results", "metrics.json"), "{}")
    ...     Path(folder, "results", "metrics.json").read_text()
    '{}'
    """
    with whole_files(path) as (scratch,):
        scratch.write_text(text, encoding="utf-8")


@contextmanager
def whole_files(*paths: Path, scratch_in: Path | None = None) -> Iterator[tuple[Path, ...]]:
    """Scratch files that take the names of `paths` together when the block ends; where it raises, none of them does.

    paths: files of different names on one file system. scratch_in: an existing folder of that file system in which the
    scratch files lie; without it, the folder of the first path, made if absent. Two processes at once write one
    scratch file each, and the last to finish stands.
    Raises PresageError where a folder has the name of a file: before hours of work, not after.
    """
    for path in paths:
        if path.is_dir():
            raise PresageError(
                str(path),
                "the name of a file",
                found="a folder of that name",
                way_out="write elsewhere, or move the folder",
            )
    with _scratch(paths[0], inside=scratch_in or paths[0].parent) as folder:
        parts = tuple(folder / path.name for path in paths)
        yield parts
        for part, path in zip(parts, paths, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            part.replace(path)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """The name of a scratch folder, to be made in the block, that takes the place of `path` when the block ends.

    A folder that is there is replaced, and stands where the block raises. Folders on the way to `path` are made.
    """
    with _scratch(path, inside=path.parent) as folder:
        part = folder / path.name
        yield part
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)


@contextmanager
def _scratch(path: Path, *, inside: Path) -> Iterator[Path]:
    """A hidden folder, gone afterwards. Where it cannot be made, the error names `path`, which its user knows."""
    inside.mkdir(parents=True, exist_ok=True)
    try:
        scratch = TemporaryDirectory(dir=inside, prefix=".presage-", suffix=".part", ignore_cleanup_errors=True)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    with scratch as folder:
        yield Path(folder)
