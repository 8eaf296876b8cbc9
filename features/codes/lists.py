"""Code lists: which codes mean something, where the list comes from, its hash as a version, and how a code matches.

A list is CSV with the columns `code,term,include_descendants`; lines before it that start with `#` are its provenance.
Inside the program a set of codes is written as patterns: `ICD10CM//I21.9` is that code, `ICD10CM//I21*` every code that
starts so, `<<SNOMED//22298006` the concept and everything below it in the record's hierarchy. In classifications whose
codes spell their own hierarchy (ICD, ATC) `<<` also means the prefix. A row `Seed//diabetes` stands for every code of
that list that ships (`features.codes.shipped`).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from features.codes import shipped
from features.codes.denied import is_denied
from features.errors import PresageError
from features.record import ANCESTORS, codes_of

if TYPE_CHECKING:  # a flat table has code lists in its study and needs no database
    from ibis.backends import BaseBackend

    from features.record import Record

SPELLED = ("ICD10CM//", "ICD10//", "ICD10GM//", "ICD9CM//", "ICD9//", "ATC//")
SEED = "Seed//"
_COLUMNS = ["code", "term", "include_descendants"]
_TRUE, _FALSE = {"1", "true", "yes", "y"}, {"0", "false", "no", "n", ""}


@dataclass(frozen=True, slots=True)
class Codelist:
    """A named, versioned set of codes. `patterns` are written as the module says; `terms` stand in the same order."""

    name: str
    patterns: tuple[str, ...]
    terms: tuple[str, ...] = ()
    provenance: str = ""

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes as they are listed, without the marks for prefixes and descendants."""
        return tuple(pattern.removeprefix("<<").removesuffix("*") for pattern in self.patterns)

    @property
    def hash(self) -> str:
        """SHA-256 of the codes that the list matches; changing its terms or its provenance does not change it."""
        return hashlib.sha256("\n".join(sorted(self.patterns)).encode()).hexdigest()

    def expand(self, record: Record, backend: BaseBackend | None = None) -> list[str]:
        """The keys of those of the record's facts that the list means, sorted: any coding of a fact may say so, and
        what was asked and denied is not meant.
        """
        matcher = Matcher(self.patterns, ancestors_of(record, backend, patterns=self.patterns))
        keys = (key for key in recorded_keys(record, backend) if not is_denied(key))
        return [key for key in keys if any(matcher(code) for code in codes_of(key))]


class Matcher:
    """Finds which of many patterns a code matches, in time that does not grow with the number of patterns."""

    def __init__(self, patterns: Iterable[str], ancestors: Mapping[str, Iterable[str]]) -> None:
        self._exact: set[str] = set()
        self._prefixes: dict[str, set[str]] = {}
        self._below: set[str] = set()
        self._ancestors = ancestors
        for pattern in patterns:
            self._add(pattern)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})

    def _add(self, pattern: str) -> None:
        if pattern.endswith("*"):
            self._prefixes.setdefault(pattern[:-1], set()).add(pattern)
        elif pattern.startswith("<<"):
            self._below.add(pattern[2:])
            if pattern[2:].startswith(SPELLED):
                self._prefixes.setdefault(pattern[2:], set()).add(pattern)
        else:
            self._exact.add(pattern)

    def __call__(self, code: str) -> list[str]:
        """The patterns that the code matches, as they were given, sorted."""
        matched = {code} & self._exact
        for length in self._lengths:
            matched |= self._prefixes.get(code[:length], set())
        matched |= {f"<<{ancestor}" for ancestor in ({code, *self._ancestors.get(code, ())} & self._below)}
        return sorted(matched)


def recorded_keys(record: Record, backend: BaseBackend | None = None) -> list[str]:
    """The key of every kind of fact in the record, sorted. A record in memory needs no backend."""
    if record.path is None:
        return sorted(pc.unique(record.tables["events"]["code"]).to_pylist())
    backend = backend or _connected()
    return sorted(backend.to_pyarrow(record.events(backend).select("code").distinct())["code"].to_pylist())


def ancestors_of(record: Record, backend: BaseBackend | None, *, patterns: Iterable[str]) -> dict[str, list[str]]:
    """For each code of the record those of its ancestors that some `<<` pattern names.

    A record in memory needs no backend.
    """
    wanted = pa.table({"ancestor": sorted({pattern[2:] for pattern in patterns if pattern.startswith("<<")})})
    if not len(wanted):
        return {}
    links = _links(record, backend, wanted=wanted)
    by_code: dict[str, list[str]] = {}
    for code, ancestor in zip(links["code"].to_pylist(), links["ancestor"].to_pylist(), strict=True):
        by_code.setdefault(code, []).append(ancestor)
    return by_code


def _links(record: Record, backend: BaseBackend | None, *, wanted: pa.Table) -> pa.Table:
    if record.path is None:
        known = record.tables.get("ancestors", ANCESTORS.empty_table())
        return known.filter(pc.is_in(known["ancestor"], value_set=wanted["ancestor"].combine_chunks()))
    import ibis

    backend = backend or _connected()
    return backend.to_pyarrow(record.ancestors(backend).inner_join(ibis.memtable(wanted), "ancestor"))


def _connected() -> BaseBackend:
    import ibis

    return ibis.duckdb.connect()


def read(path: Path) -> Codelist:
    """Read a code list from its CSV file. Raises PresageError that names file and line where it is not a code list."""
    if not path.is_file():
        raise PresageError(str(path), "a code list", found="no such file")
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    header = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    provenance = "\n".join(line.removeprefix("#").strip() for line in lines[:header])
    rows = list(csv.reader(lines[header:]))
    if not rows or [cell.strip() for cell in rows[0]] != _COLUMNS:
        raise PresageError(f"{path}, line {header + 1}", f"the columns {','.join(_COLUMNS)} and no others")
    entries = [_entry(row, f"{path}, line {header + 2 + i}") for i, row in enumerate(rows[1:]) if any(row)]
    if not entries:
        raise PresageError(str(path), "at least one code", found="none")
    if len({pattern for pattern, _ in entries}) < len(entries):
        repeats = len(entries) - len({pattern for pattern, _ in entries})
        raise PresageError(str(path), "every code once", found=f"{repeats} rows that repeat one")
    spelled = {pattern: term for entry in entries for pattern, term in _spelled(*entry)}
    return Codelist(path.stem, tuple(spelled), tuple(spelled.values()), provenance)


def spelled_out(path: Path) -> str:
    """The text of a code list that means the same for ever: its rows of lists that ship written as their codes."""
    listed = read(path)
    lines = [f"# {line}" for line in listed.provenance.splitlines()]
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for pattern, term in zip(listed.patterns, listed.terms, strict=True):
        writer.writerow([pattern.removeprefix("<<"), term, "true" if pattern.startswith("<<") else "false"])
    return "\n".join([*lines, rows.getvalue()])


def _spelled(pattern: str, term: str) -> list[tuple[str, str]]:
    name = pattern.removeprefix("<<")
    if not name.startswith(SEED):
        return [(pattern, term)]
    return [(each, term) for each in shipped.patterns(name.removeprefix(SEED))]


def _entry(row: list[str], where: str) -> tuple[str, str]:
    if len(row) != len(_COLUMNS):
        raise PresageError(where, f"{len(_COLUMNS)} columns", found=str(len(row)))
    code, term, descendants = (cell.strip() for cell in row)
    vocabulary, separator, bare = code.partition("//")
    if not code.startswith("MEDS_") and not (vocabulary and separator and bare):
        raise PresageError(
            f"{where}, column 'code'", "a code as VOCABULARY//CODE", way_out="write it as in ICD10CM//I21.9"
        )
    if descendants.lower() not in _TRUE | _FALSE:
        raise PresageError(f"{where}, column 'include_descendants'", "true or false")
    return (f"<<{code}" if descendants.lower() in _TRUE and not code.endswith("*") else code), term
