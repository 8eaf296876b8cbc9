"""FHIR resources into flat tables on disk: one pass over the source, batch by batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from features.progress import Advance
from features.sources.fhir import people
from features.sources.fhir.codes import Coded, coded_drug
from features.sources.fhir.contained import encounters_inside
from features.sources.fhir.files import files_of, unread_of
from features.sources.fhir.reading import BREAKS_OFF, Found, Wanted, resources
from features.sources.fhir.references import Place, identifier_key, key, kind_of, no_person, resolved
from features.sources.fhir.resources import MAPPERS, Fact, map_resource
from features.sources.fhir.servers import Servers

_TEXT = pa.string()
_CODES = pa.list_(_TEXT)
SCHEMAS = {
    "resources": pa.schema(
        [
            ("seq", pa.int64()),
            ("kind", _TEXT),
            ("id", _TEXT),
            ("server", _TEXT),
            ("key", _TEXT),
            ("holder", pa.int64()),
            ("updated", _TEXT),
            ("version", _TEXT),
            ("person", _TEXT),
            ("reason", _TEXT),
            ("note", _TEXT),
            ("deleted", pa.bool_()),
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
    "links": pa.schema([("seq", pa.int64()), ("replaced", _TEXT), ("by", _TEXT)]),
    "medications": pa.schema([("seq", pa.int64()), ("id", _TEXT), ("code", _TEXT), ("codings", _CODES)]),
    "names": pa.schema([("seq", pa.int64()), ("id", _TEXT), ("label", _TEXT), ("whole", _TEXT)]),
}

PERSONAL = frozenset({*MAPPERS, "Patient", "Encounter", "Coverage"})
KINDS = PERSONAL | {"Medication", "Organization", "Practitioner"}
WANTED = Wanted(KINDS, frozenset(MAPPERS))
_ROWS, _BATCHES = 1_000, 50  # cells become columns while the processor's cache has them; columns are written in bulk
# Columns with few values, which a dictionary makes small; ids and moments only cost time in one.
_FEW = frozenset({"kind", "server", "updated", "version", "reason", "note", "code", "text", "unit", "mended"})
DAMAGED_FROM = "(damaged: from there on)"
MISSHAPEN = "not shaped as FHIR says"
DELETED = "deleted (takes away what the record has of it)"


@dataclass(slots=True)
class Extract:
    """The flat tables that were written, and the counts and names that are small enough to stay in memory.

    rows: resources read, by type; contained: those of them that others contain. wrong: pieces of files that are no
    resources, by what their file is named after and reason. words: a description for a code. servers: whose the
    patients are. unread: files that lie there and are not read. linked: whether a patient is said to be replaced.
    """

    folder: Path
    rows: Counter[str] = field(default_factory=Counter)
    contained: Counter[str] = field(default_factory=Counter)
    wrong: Counter[tuple[str, str]] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)
    servers: Servers = field(default_factory=Servers)
    unread: tuple[str, ...] = ()
    visits_inside: int = 0  # encounters that other resources contain
    linked: bool = False

    def path(self, table: str) -> Path:
        """The file of the flat table with this name, one of SCHEMAS."""
        return self.folder / f"{table}.parquet"


def extract(source: Path, folder: Path, *, advance: Advance) -> Extract:
    """Read every resource of a source once and write the flat tables.

    `seq` numbers the pieces in order, broken ones too.
    """
    folder.mkdir()
    extracted = Extract(folder, unread=unread_of(files_of(source)))
    holder = None
    with _Tables(extracted) as tables:
        for seq, one in enumerate(resources(source, WANTED, advance=advance)):
            holder = holder if one.contained else seq
            if one.wrong:
                extracted.wrong[one.kind, one.wrong] += 1
                if one.text.endswith(BREAKS_OFF):
                    extracted.unread = (*extracted.unread, f"{one.file} {DAMAGED_FROM}")
                continue
            extracted.rows[one.kind] += 1
            if one.contained:
                extracted.contained[one.kind] += 1
            if one.content is not None:
                extracted.visits_inside += 0 if one.contained else encounters_inside(one.content)
                piece = _Piece.of(seq, one, one.content, holder=holder if one.contained else None)
                _add_or_reject(tables, extracted, piece)
    return extracted


class _Piece(NamedTuple):
    """A resource on its way to the tables. holder: the seq of the resource that contains it."""

    seq: int
    kind: str
    content: Mapping[str, Any]
    holder: int | None
    place: Place
    full_url: str | None
    id: str | None
    key: str | None
    deleted: bool = False

    @staticmethod
    def of(seq: int, held: Found, content: Mapping[str, Any], *, holder: int | None) -> _Piece:
        id_, place = _text(content.get("id")), held.place
        own = None if id_ is None else key(place.server, held.kind, id_)
        return _Piece(seq, held.kind, content, holder, place, held.full_url, id_, own, held.deleted)

    def row(self, person: str | None, *, reason: str | None = None, note: str | None = None) -> tuple[Any, ...]:
        """The resource's row of the table `resources`; the id by itself is asked for of Patients only."""
        seq, kind, content, holder, place, _, id_, own, deleted = self
        id_ = id_ if kind == "Patient" else None
        return (seq, kind, id_, place.server, own, holder, *_version(content), person, reason, note, deleted)


def _add_or_reject(tables: _Tables, extracted: Extract, piece: _Piece) -> None:
    try:
        _add(tables, extracted, piece)
    except (AttributeError, KeyError, TypeError, ValueError):
        # JSON of another shape than FHIR's: a text where an object should be, and the like.
        if piece.kind in PERSONAL:
            row = (piece.seq, piece.kind, None, None, None, piece.holder, None, None, None, MISSHAPEN, None, False)
            tables.add("resources", *row)


class _Tables:
    """Rows gathered by table, cell after cell, and written in batches."""

    def __init__(self, extracted: Extract) -> None:
        self._writers = {name: _writer(extracted.path(name), schema) for name, schema in SCHEMAS.items()}
        self._cells: dict[str, list[Any]] = {name: [] for name in SCHEMAS}
        self._full = {name: _ROWS * len(schema) for name, schema in SCHEMAS.items()}
        self._batches: dict[str, list[pa.RecordBatch]] = {name: [] for name in SCHEMAS}

    def __enter__(self) -> _Tables:
        return self

    def __exit__(self, *failure: object) -> None:
        for name, writer in self._writers.items():
            self._gather(name)
            self._write(name)
            writer.close()

    def add(self, name: str, *row: Any) -> None:
        cells = self._cells[name]
        cells += row
        if len(cells) >= self._full[name]:
            self._gather(name)

    def _gather(self, name: str) -> None:
        cells, schema, batches = self._cells[name], SCHEMAS[name], self._batches[name]
        if cells:
            columns = [_array(cells[at :: len(schema)], kind) for at, kind in enumerate(schema.types)]
            batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
            cells.clear()
        if len(batches) >= _BATCHES:
            self._write(name)

    def _write(self, name: str) -> None:
        if batches := self._batches[name]:
            self._writers[name].write_table(pa.Table.from_batches(batches))
            batches.clear()


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """The file is read once or twice and thrown away: it need not be small."""
    few = [name for name in schema.names if name in _FEW]
    return pq.ParquetWriter(path, schema, compression="none", use_dictionary=few, write_statistics=False)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    if values[0] is None and values.count(None) == len(values):
        return pa.nulls(len(values), kind)
    return pa.array(values, kind)


def _add(tables: _Tables, extracted: Extract, piece: _Piece) -> None:
    kind, content = piece.kind, piece.content
    if piece.deleted:
        tables.add("resources", *piece.row(None, reason=DELETED))
    elif kind == "Medication":
        tables.add("resources", *piece.row(None))
        if drug := coded_drug(content.get("code")):
            tables.add("medications", piece.seq, piece.key, _known(extracted, drug), _others(drug, ()))
    elif kind in ("Organization", "Practitioner"):
        tables.add("resources", *piece.row(None))
        _add_name(tables, piece)
    elif kind == "Patient":
        _add_patient(tables, extracted, piece)
    else:
        mapped = map_resource(kind, content)
        person = resolved(mapped.person, piece.place, expected="Patient")
        reason = mapped.reason or (None if person is None else no_person(person))
        if person and piece.place.server is None:
            extracted.servers.add_reference(person)
        tables.add("resources", *piece.row(person, reason=reason, note=mapped.note))
        if kind == "Encounter":
            visit = people.encounter(content)
            tables.add("encounters", piece.seq, visit.code, _moment(visit.start), _moment(visit.end))
        elif kind == "Coverage":
            tables.add("coverages", piece.seq, *map(_moment, people.coverage(content)))
        for fact in mapped.facts:
            _add_fact(tables, extracted, seq=piece.seq, fact=fact, place=piece.place)


def _add_fact(tables: _Tables, extracted: Extract, *, seq: int, fact: Fact, place: Place) -> None:
    code = None if fact.coded is None else _known(extracted, fact.coded)
    known = [str(moment).strip() for moment in fact.known if moment]
    tables.add(
        "facts",
        seq,
        code,
        _moment(fact.start),
        known[0] if known else None,
        known[1] if len(known) > 1 else None,
        fact.number,
        _text(fact.text),
        _text(fact.unit),
        fact.encounter and resolved(fact.encounter, place, expected="Encounter"),
        fact.at_visit_end,
        fact.medication and resolved(fact.medication, place, expected="Medication"),
        _others(fact.coded, fact.answers) if fact.answers or (fact.coded and fact.coded.others) else None,
        fact.mended,
        fact.preliminary,
    )


def _add_patient(tables: _Tables, extracted: Extract, piece: _Piece) -> None:
    person = people.patient(piece.content)
    place, own = piece.place, piece.key
    tables.add("resources", *piece.row(own, reason=None if own else "no id"))
    care_site = resolved(person.care_site, place, expected="Organization")
    provider = resolved(person.provider, place, expected="Practitioner")
    birth, deceased = _moment(person.birth), _moment(person.deceased)
    tables.add("patients", piece.seq, birth, deceased, person.dead_without_date, care_site, provider)
    for code in person.static_codes:
        tables.add("statics", piece.seq, code)
    for alias in (own, *(f"Patient?{name}" for name in person.aliases)):
        if alias:
            tables.add("aliases", piece.seq, alias)
    if own:
        extracted.servers.add_patient(place.server, piece.full_url)
        extracted.servers.add_called(own, piece.full_url, person.aliases)
        for others, is_replaced in ((person.replaced_by, True), (person.replaces, False)):
            keys = (resolved(other, place, expected="Patient") for other in others)
            for other in keys:
                if other and kind_of(other) == "Patient":
                    tables.add("links", piece.seq, *((own, other) if is_replaced else (other, own)))
                    extracted.linked = True


def _add_name(tables: _Tables, piece: _Piece) -> None:
    """An organization or practitioner is known by its first identifier's value, and may be referred to by each."""
    held = piece.content.get("identifier") or []
    identifiers = [one for one in held if isinstance(one, dict) and one.get("value")]
    label = str(identifiers[0]["value"]) if identifiers else piece.id
    whole = identifier_key(identifiers[0]) if identifiers else piece.key
    logical = (f"{piece.kind}?{identifier_key(one)}" for one in identifiers)
    for name in filter(None, [piece.key, *logical]):
        tables.add("names", piece.seq, name, label, whole and whole.removeprefix("identifier:"))


def _known(extracted: Extract, drug: Coded) -> str:
    """The code, after remembering its words."""
    if drug.words and drug.code not in extracted.words:
        extracted.words[drug.code] = drug.words
    return drug.code


def _others(concept: Coded | None, answers: tuple[str, ...]) -> list[str] | None:
    """The other codings of a fact, and those of its answer."""
    others = {*(() if concept is None else concept.others), *answers}
    return sorted(others) or None


def _version(content: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """When a resource was last updated, and its version, as its server wrote them."""
    meta = content.get("meta")
    return (_text(meta.get("lastUpdated")), _text(meta.get("versionId"))) if isinstance(meta, dict) else (None, None)


def _moment(value: Any) -> str | None:
    return None if value is None else str(value).strip()


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
