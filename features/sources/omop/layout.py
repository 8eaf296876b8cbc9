"""Which files of a folder hold which table: one file each, or parts of it as exports and engines write them."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from features.errors import PresageError
from features.sources.broken_files import DAMAGED
from features.sources.omop.cdm import REQUIRED, TABLES, VOCABULARY_COLUMNS
from features.sources.packed import PACKED, opened

Kind = Literal["csv", "parquet"]
_KINDS: Mapping[str, Kind] = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".parq": "parquet", ".pq": "parquet"}
_HIVE = re.compile(r"^(?P<key>[A-Za-z_]\w*)=(?P<value>.*)$")
# measurement_000, as warehouses export a large table; but a day is no number: those are exports of several days.
_NUMBERED = re.compile(r"[-_.](part[-_.]?)?(?!(19|20)\d{6}$)\d+$")
_NO_ENDING = re.compile(r"^\.\d+$|^$")
# Engines that keep beside the files which of them count. Read as plain Parquet, rows that are gone come back.
_LAKES = {"_delta_log": "a Delta table", ".hoodie": "a Hudi table"}


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a table. packed: how it is compressed. keys: what the names of its folders say (`year=2020`)."""

    path: Path
    kind: Kind
    packed: str | None = None
    keys: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of each table, and the names of those that are no table's."""

    tables: Mapping[str, tuple[Part, ...]]
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """A file and the table that it seems to be of. root: the folder that holds the tables. form: how it is told."""

    part: Part
    table: str
    root: Path
    form: Literal["file", "numbered", "folder"]
    name: Path


def layout(folder: Path) -> Layout:
    """The tables of a folder, those of the vocabulary also from a folder of their own.

    Raises PresageError where a table is there twice, or kept in a way that its files alone do not tell.
    """
    paths = sorted(path.relative_to(folder) for path in _lying(folder, seen=set()))
    found, strange = [], []
    for path in paths:
        part = _part(folder, path)
        told = None if part is None else _table_of(path, part)
        if told is None:
            strange.append(path)
        else:
            found.append(told)
    root = _root(folder, found)
    by_table = defaultdict[str, list[_Found]](list)
    for each in found:
        if each.root == root:
            by_table[each.table].append(each)
    for name in VOCABULARY_COLUMNS.keys() - by_table.keys():
        elsewhere = [each for each in found if each.table == name]
        if len({each.root for each in elsewhere}) == 1:
            by_table[name] = elsewhere
    tables = {name: _parts(folder, name, files) for name, files in sorted(by_table.items())}
    read = {each.part for files in by_table.values() for each in files}
    unread = [*strange, *(each.name for each in found if each.part not in read)]
    return Layout(tables, tuple(sorted(str(path) for path in unread)))


def may_hold_a_table(name: str) -> bool:
    """Whether a file of this name is looked at: by its ending, or where it has none, by what it holds."""
    path = Path(name)
    return _ending(path.name)[1] is not None


def _ending(name: str) -> tuple[str | None, Kind | Literal["look"] | None, str]:
    """How a file is packed, its kind, and its name without endings."""
    path = Path(name.lower())
    packed = PACKED.get(path.suffix)
    inner = path.with_suffix("") if packed else path
    kind: Kind | Literal["look"] | None = _KINDS.get(inner.suffix)
    if kind is not None:
        inner = inner.with_suffix("")
    elif _NO_ENDING.match(inner.suffix):
        kind = "look"
    return (packed, None, inner.name) if kind == "parquet" and packed else (packed, kind, inner.name)


def _part(folder: Path, path: Path) -> Part | None:
    nulls = {"__HIVE_DEFAULT_PARTITION__", ""}
    said = [(found["key"].lower(), found["value"]) for found in map(_HIVE.match, path.parts[:-1]) if found]
    keys = tuple((key, None if value in nulls else value) for key, value in said)
    packed, kind, _ = _ending(path.name)
    if kind == "look":
        kind = _looked(folder / path, packed, keys={key for key, _ in keys})
    return None if kind is None else Part(folder / path, kind, packed, keys)


def _looked(path: Path, packed: str | None, *, keys: set[str]) -> Kind | None:
    """What a file without an ending holds: Parquet by its mark, or CSV by the names of its columns."""
    try:
        with opened(path, packed) as lines:
            start = lines.read(4)
            if start == b"PAR1":
                return None if packed else "parquet"
            first = (start + lines.readline(1 << 16)).decode("utf-8-sig", errors="replace")
    except (*DAMAGED, PresageError):
        return None
    columns = {cell.strip().lower() for row in csv.reader([first], delimiter=delimiter_of(first)) for cell in row}
    known = [needed for needed in REQUIRED.values() if len(needed) > 1 and columns | keys >= set(needed)]
    return "csv" if known else None


def delimiter_of(first: str) -> str:
    """What stands between the columns of a first line."""
    return max(",\t;|", key=first.count)


def _table_of(path: Path, part: Part) -> _Found | None:
    """The table of a file by its own name, else by the folder that it lies in."""
    folders = [each for each in path.parts[:-1] if not _HIVE.match(each)]
    parent = _ending(folders[-1])[2] if folders else None
    stem = _ending(path.name)[2]
    base = _NUMBERED.sub("", stem)
    inside = Path(*folders[:-1])
    if stem in TABLES or base in TABLES:
        name = stem if stem in TABLES else base
        if parent == name:
            return _Found(part, name, inside, "folder", path)
        return _Found(part, name, Path(*folders), "file" if name == stem else "numbered", path)
    if parent in TABLES:
        return _Found(part, parent, inside, "folder", path)
    if parent is None:
        return _Found(part, stem, Path(), "file", path)
    return _Found(part, parent, inside, "folder", path) if len(folders) == 1 else None


def _root(folder: Path, found: Iterable[_Found]) -> Path:
    roots = {each.root for each in found if each.table == "person"} or {each.root for each in found} or {Path()}
    depth = min(len(root.parts) for root in roots)
    highest = sorted(root for root in roots if len(root.parts) == depth)
    if len(highest) > 1:
        raise PresageError(
            str(folder),
            "one folder with a table person",
            found=f"{len(highest)}: {', '.join(map(str, highest[:5]))}",
            way_out="give one of them",
        )
    return highest[0]


def _parts(folder: Path, name: str, files: list[_Found]) -> tuple[Part, ...]:
    forms = {each.form for each in files}
    stems = {(each.name.parent, _ending(each.name.name)[2]) for each in files}
    if len(forms) > 1 or (forms == {"file"} and len(files) > 1) or len(stems) < len(files):
        raise PresageError(
            str(folder),
            "one file for each table",
            found=f"two of table {name}",
            way_out="keep one of them, or put all parts of the table into a folder of its name",
        )
    parts = tuple(each.part for each in files)
    for kind, what in (("kind", "files of one kind"), ("keys", "folders of the same keys")):
        alike = {part.kind if kind == "kind" else tuple(key for key, _ in part.keys) for part in parts}
        if len(alike) > 1:
            raise PresageError(
                f"{folder}, table {name}", f"{what}", found=f"{len(alike)}", way_out="write the table anew, in one way"
            )
    return parts


def _lying(folder: Path, *, seen: set[Path]) -> Iterator[Path]:
    """Every file in and below a folder, but for what engines and systems keep for themselves (`_SUCCESS`, `.crc`)."""
    if folder.resolve() in seen:  # a link to a folder above
        return
    seen.add(folder.resolve())
    for path in folder.iterdir():
        if path.is_dir():
            _check_lake(path)
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir():
            yield from _lying(path, seen=seen)
        elif path.is_file():
            yield path


def _check_lake(path: Path) -> None:
    is_iceberg = path.name == "metadata" and any(path.glob("*.metadata.json"))
    kind = "an Iceberg table" if is_iceberg else _LAKES.get(path.name)
    if kind is not None:
        raise PresageError(
            str(path.parent),
            "a table whose files are all of it",
            found=f"{kind}, in which files that no longer count lie beside those that do",
            way_out="export it as plain Parquet",
        )
