"""FHIR resources into flat tables on disk: one pass over the source, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.progress import Advance
from features.sources.fhir import people
from features.sources.fhir.codes import Coded, coded_drug
from features.sources.fhir.reading import Found, resources
from features.sources.fhir.resources import MAPPERS, Fact, id_of, identifier_key, map_resource

_TEXT = pa.string()
_CODES = pa.list_(_TEXT)
SCHEMAS = {
    "resources": pa.schema(
        [
            ("seq", pa.int64()),
            ("kind", _TEXT),
            ("id", _TEXT),
            ("updated", _TEXT),
            ("version", _TEXT),
            ("person", _TEXT),
            ("reason", _TEXT),
            ("note", _TEXT),
        ]
    ),
    "facts": pa.schema(
        [
            ("seq", pa.int64()),
            ("code", _TEXT),
            ("start", _TEXT),
            ("known_1", _TEXT),
            ("known_2", _TEXT),
            ("number", pa.float64()),
            ("text", _TEXT),
            ("unit", _TEXT),
            ("encounter", _TEXT),
            ("at_visit_end", pa.bool_()),
            ("medication", _TEXT),
            ("codings", _CODES),
            ("mended", _TEXT),
            ("preliminary", pa.bool_()),
        ]
    ),
    "patients": pa.schema(
        [
            ("seq", pa.int64()),
            ("birth", _TEXT),
            ("deceased", _TEXT),
            ("dead_without_date", pa.bool_()),
            ("care_site", _TEXT),
            ("provider", _TEXT),
        ]
    ),
    "statics": pa.schema([("seq", pa.int64()), ("code", _TEXT)]),
    "aliases": pa.schema([("seq", pa.int64()), ("called", _TEXT)]),
    "encounters": pa.schema([("seq", pa.int64()), ("code", _TEXT), ("start", _TEXT), ("end", _TEXT)]),
    "coverages": pa.schema([("seq", pa.int64()), ("start", _TEXT), ("end", _TEXT)]),
    "medications": pa.schema([("id", _TEXT), ("code", _TEXT), ("codings", _CODES)]),
    "names": pa.schema([("id", _TEXT), ("label", _TEXT)]),
}

PERSONAL = frozenset({*MAPPERS, "Patient", "Encounter", "Coverage"})
WANTED = PERSONAL | {"Medication", "Organization", "Practitioner"}
_BATCH = 100_000
MISSHAPEN = "not shaped as FHIR says"


@dataclass(slots=True)
class Extract:
    """The flat tables that were written, and the counts and names that are small enough to stay in memory.

    rows: resources read, by type. wrong: pieces of files that are no resources, by what their file is named after
    and reason. words: a description for a code.
    """

    folder: Path
    rows: Counter[str] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)

    def path(self, table: str) -> Path:
        """The file of the flat table with this name, one of SCHEMAS."""
        return self.folder / f"{table}.parquet"


def extract(source: Path, folder: Path, *, advance: Advance) -> Extract:
    """Read every resource of a source once and write the flat tables.

    `seq` numbers the pieces in order, broken ones too.
    """
    folder.mkdir()
    extracted = Extract(folder)
    with _Tables(extracted) as tables:
        for seq, piece in enumerate(resources(source, WANTED, advance=advance)):
            if piece.wrong:
                extracted.wrong[piece.kind, piece.wrong] += 1
                continue
            extracted.rows[piece.kind] += 1
            if piece.content is not None:
                _add_or_reject(tables, extracted, seq=seq, piece=piece, content=piece.content)
    return extracted


def _add_or_reject(tables: _Tables, extracted: Extract, *, seq: int, piece: Found, content: Mapping[str, Any]) -> None:
    try:
        _add(tables, extracted, seq=seq, piece=piece, content=content)
    except (AttributeError, KeyError, TypeError, ValueError):
        # JSON of another shape than FHIR's: a text where an object should be, and the like.
        if piece.kind in PERSONAL:
            tables.add("resources", seq, piece.kind, None, None, None, None, MISSHAPEN, None)


class _Tables:
    """Rows gathered by table and written in batches."""

    def __init__(self, extracted: Extract) -> None:
        self._writers = {name: pq.ParquetWriter(extracted.path(name), schema) for name, schema in SCHEMAS.items()}
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in SCHEMAS}

    def __enter__(self) -> _Tables:
        return self

    def __exit__(self, *failure: object) -> None:
        for name, writer in self._writers.items():
            self._flush(name)
            writer.close()

    def add(self, name: str, *row: Any) -> None:
        rows = self._rows[name]
        rows.append(row)
        if len(rows) >= _BATCH:
            self._flush(name)

    def _flush(self, name: str) -> None:
        rows, schema = self._rows[name], SCHEMAS[name]
        if rows:
            columns = [
                pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
            ]
            self._writers[name].write_table(pa.Table.from_arrays(columns, schema=schema))
            rows.clear()


def _add(tables: _Tables, extracted: Extract, *, seq: int, piece: Found, content: Mapping[str, Any]) -> None:
    kind = piece.kind
    id_ = _text(content.get("id"))
    if kind == "Medication":
        if drug := coded_drug(content.get("code")):
            tables.add("medications", id_, _known(extracted, drug), _others(drug, ()))
    elif kind in ("Organization", "Practitioner"):
        _add_name(tables, content, id_=id_)
    elif kind == "Patient":
        _add_patient(tables, seq, content=content, id_=id_, urls=piece.urls)
    elif kind in ("Encounter", "Coverage"):
        _add_period(tables, seq, kind=kind, content=content, id_=id_, urls=piece.urls)
    else:
        mapped = map_resource(kind, content)
        person = _resolved(mapped.person, piece.urls)
        tables.add("resources", seq, kind, id_, *_version(content), person, mapped.reason, mapped.note)
        for fact in mapped.facts:
            _add_fact(tables, extracted, seq=seq, fact=fact, urls=piece.urls)


def _add_fact(tables: _Tables, extracted: Extract, *, seq: int, fact: Fact, urls: Mapping[str, str] | None) -> None:
    code = None if fact.coded is None else _known(extracted, fact.coded)
    known = [_text(moment) for moment in fact.known if moment][:2]
    tables.add(
        "facts",
        seq,
        code,
        _text(fact.start),
        *known,
        *[None] * (2 - len(known)),
        fact.number,
        _text(fact.text),
        _text(fact.unit),
        _resolved(fact.encounter, urls),
        fact.at_visit_end,
        _resolved(fact.medication, urls),
        _others(fact.coded, fact.answers),
        fact.mended,
        fact.preliminary,
    )


def _add_patient(
    tables: _Tables, seq: int, *, content: Mapping[str, Any], id_: str | None, urls: Mapping[str, str] | None
) -> None:
    person = people.patient(content)
    tables.add("resources", seq, "Patient", id_, *_version(content), id_, None if id_ else "no id", None)
    care_site, provider = _resolved(person.care_site, urls), _resolved(person.provider, urls)
    birth, deceased = _text(person.birth), _text(person.deceased)
    tables.add("patients", seq, birth, deceased, person.dead_without_date, care_site, provider)
    for code in person.static_codes:
        tables.add("statics", seq, code)
    for alias in (id_, *person.aliases):
        if alias:
            tables.add("aliases", seq, alias)


def _add_period(
    tables: _Tables, seq: int, *, kind: str, content: Mapping[str, Any], id_: str | None, urls: Mapping[str, str] | None
) -> None:
    mapped = map_resource(kind, content)
    if kind == "Encounter":
        visit = people.encounter(content)
        tables.add("encounters", seq, visit.code, _text(visit.start), _text(visit.end))
    else:
        tables.add("coverages", seq, *map(_text, people.coverage(content)))
    tables.add("resources", seq, kind, id_, *_version(content), _resolved(mapped.person, urls), mapped.reason, None)


def _add_name(tables: _Tables, content: Mapping[str, Any], *, id_: str | None) -> None:
    """An organization or practitioner is known by its first identifier's value, and may be referred to by each."""
    identifiers = [
        identifier
        for identifier in content.get("identifier") or []
        if isinstance(identifier, dict) and identifier.get("value")
    ]
    label = str(identifiers[0]["value"]) if identifiers else id_
    for key in filter(None, [id_, *(identifier_key(identifier) for identifier in identifiers)]):
        tables.add("names", key, label)


def _known(extracted: Extract, drug: Coded) -> str:
    """The code, after remembering its words."""
    if drug.words and drug.code not in extracted.words:
        extracted.words[drug.code] = drug.words
    return drug.code


def _others(concept: Coded | None, answers: tuple[str, ...]) -> list[str] | None:
    """The other codings of a fact, and those of its answer."""
    others = {*(() if concept is None else concept.others), *answers}
    return sorted(others) or None


def _resolved(ref: str | None, urls: Mapping[str, str] | None) -> str | None:
    """The id a reference points to; within a bundle, through the urls of its entries."""
    return id_of((urls or {}).get(ref, ref) if ref else None)


def _version(content: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """When a resource was last updated, and its version, as its server wrote them."""
    meta = content.get("meta")
    return (_text(meta.get("lastUpdated")), _text(meta.get("versionId"))) if isinstance(meta, dict) else (None, None)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
