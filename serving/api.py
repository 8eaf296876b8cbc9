"""The score API's request and answer, and how one person becomes a receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from pathlib import Path
from threading import Lock
from typing import Annotated, Literal

import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from features.codes import canonical_code
from features.errors import PresageError
from features.record import ANCESTORS, CODES, EVENTS, GENOMIC, ROWS, Record, Tells, codes_of, key_of, scan, settle
from features.sources import FIRST_YEAR, LAST_YEAR
from serving.flagging import panels_of
from serving.scoring import OTHERS, Champion, Hierarchy, others_of, score_record
from serving.store import UNASSIGNED, Receipt

SENT = 0  # the subject_id of a person whose events are sent: nobody of the record
BIRTH, PERIOD_START, PERIOD_END = "MEDS_BIRTH", "OBSERVATION_PERIOD//START", "OBSERVATION_PERIOD//END"
NOBODY = "There is nobody with this number on your panels."


def _naive(moment: datetime) -> datetime:
    """Local time as it is written, as every source keeps it: an offset is dropped, not reckoned with."""
    return moment.replace(tzinfo=None)


def _in_calendar(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"a moment of the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment


Moment = Annotated[datetime, AfterValidator(_naive)]
Code = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]
Words = Annotated[str, Field(max_length=500)]


class _Part(BaseModel):
    # No error may repeat what was sent: it is about a person.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)


class Event(_Part):
    """One MEDS event. `available_time` absent: known at its time, or without a clock time at the end of its day.

    codings: other codes of the same fact; that of a coded answer is written `Answer//VOCABULARY//CODE`.
    """

    code: Code
    codings: Annotated[list[Code], Field(max_length=50)] = []
    time: Moment | None = None
    numeric_value: float | None = None
    text_value: Words | None = None
    unit: Annotated[str, Field(max_length=50)] | None = None
    available_time: Moment | None = None


class PolygenicResult(_Part):
    """A polygenic score, adjusted for ancestry; `not_scored` holds the reason where `z` was withheld."""

    score_id: Annotated[str, Field(min_length=1, max_length=100)]
    z: Annotated[float, Field(ge=-20, le=20)] | None = None
    matched_weight: Annotated[float, Field(ge=0, le=1)] | None = None
    not_scored: Words | None = None
    available_time: Moment | None = None


class FindingResult(_Part):
    """A variant that a laboratory reported."""

    gene_symbol: Annotated[str, Field(min_length=1, max_length=30)]
    gene_hgnc: Annotated[str, Field(max_length=30)] | None = None
    variant: Words | None = None
    zygosity: Words | None = None
    classification: Words
    condition: Words | None = None
    report_id: Words | None = None
    available_time: Moment | None = None


class CoverageResult(_Part):
    """A gene that a report looked at."""

    gene_symbol: Annotated[str, Field(min_length=1, max_length=30)]
    result: Literal["positive", "negative", "inconclusive"]
    report_id: Words | None = None
    available_time: Moment | None = None


class PersonData(_Part):
    """The events and genomic results of one person."""

    events: Annotated[list[Event], Field(min_length=1, max_length=20_000)]
    polygenic: Annotated[list[PolygenicResult], Field(max_length=100)] = []
    findings: Annotated[list[FindingResult], Field(max_length=1000)] = []
    coverage: Annotated[list[CoverageResult], Field(max_length=5000)] = []


class ScoreRequest(_Part):
    """Score somebody of the record by `subject_id`, or the `person` whose events are sent: one of the two."""

    model: Annotated[str, Field(min_length=1, max_length=100)]
    as_of: Annotated[Moment, AfterValidator(_in_calendar)]
    subject_id: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    person: PersonData | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> ScoreRequest:
        if (self.subject_id is None) == (self.person is None):
            raise ValueError("give subject_id or person, one of the two")
        return self


class ScoreResponse(BaseModel):
    """A receipt (contract 7). `not_scored` set: why there is no risk, and nothing else is wrong."""

    subject_id: int | None
    as_of: datetime
    study: str
    model: Literal["clinical", "combined"] | None
    model_reason: str | None
    model_version: str
    bundle_digest: str
    catalogue_hash: str
    feature_hash: str | None
    horizons_days: list[float | None]
    risks: list[float] | None
    not_scored: str | None


def response_of(receipt: Receipt, *, subject_id: int | None) -> ScoreResponse:
    """A receipt in the shape in which it is sent."""
    return ScoreResponse.model_validate(
        {
            "subject_id": subject_id,
            "as_of": receipt.as_of,
            "study": receipt.study,
            "model": receipt.model or None,
            "model_reason": receipt.model_reason or None,
            "model_version": receipt.model_version,
            "bundle_digest": receipt.bundle_digest,
            "catalogue_hash": receipt.catalogue_hash,
            "feature_hash": receipt.feature_hash or None,
            "horizons_days": list(receipt.horizons_days),
            "risks": list(receipt.risks) or None,
            "not_scored": receipt.not_scored,
        }
    )


def score_one(champion: Champion, record: Record, *, as_of: datetime, subject_id: int) -> Receipt:
    """Score the one person in `record`, by the same code as the batch, and return the receipt."""
    receipts = score_record(champion, record, as_of=as_of)
    if receipts:
        return receipts[0]
    return Receipt(
        subject_id=subject_id,
        as_of=as_of,
        study=champion.bundle.name,
        model="",
        model_reason="",
        model_version=champion.version,
        bundle_digest=champion.bundle.digest,
        catalogue_hash=champion.bundle.catalogue_hash,
        feature_hash="",
        horizons_days=champion.horizons_days,
        risks=(),
        not_scored="not enrolled and alive at the index moment; a score needs a moment within enrolment",
    )


@dataclass(slots=True)
class People:
    """Gives the tables of one person at a time, out of a record on disk or out of a request."""

    record_dir: Path | None
    hierarchy: Hierarchy = field(default_factory=Hierarchy)
    _whole: dict[str, pa.Table] = field(default_factory=dict)
    _read_at: tuple[int, ...] = ()
    _theirs: frozenset[str] = frozenset()  # codes of the record, whose hierarchy stands
    _met: set[str] = field(default_factory=set)  # codes that people were sent with
    _ancestors: pa.Table = field(default_factory=ANCESTORS.empty_table)
    _lock: Lock = field(default_factory=Lock)

    def panel(self, subject_id: int) -> str | None:
        """The care site of a person in the record; None where the record has nobody with this number."""
        if self.record_dir is None:
            return None
        settle(self.record_dir)
        panel = panels_of(self.record_dir, [subject_id]).get(subject_id)
        if panel is None and not len(self._person("events", subject_id)):
            return None
        return panel or UNASSIGNED

    def known(self, subject_id: int) -> Record:
        """The tables of a person in the record."""
        if self.record_dir is None:
            raise PresageError(
                "subject_id", "a service that was started with a record", found="one without", way_out="send `person`"
            )
        settle(self.record_dir)
        tables = {name: self._person(name, subject_id) for name in GENOMIC}
        whole = self._of_everybody(self.record_dir)
        tells = Record.open(self.record_dir).tells
        return Record.in_memory(self._person("events", subject_id), tells=tells, **tables, **whole)

    def sent(self, person: PersonData, *, as_of: datetime, champion: Champion | None = None) -> Record:
        """The tables of a person whose events came with a request, to be read by a champion.

        Without events of enrolment the person counts as enrolled. Codes that the record does not know are looked up in
        the loaded vocabularies.
        """
        events = [_event(event) for event in person.events]
        codes = {event.code for event in person.events}
        times = [event.time for event in person.events if event.time is not None and event.time <= as_of]
        if PERIOD_START not in codes or PERIOD_END not in codes:
            events = [event for event in events if event["code"] not in (PERIOD_START, PERIOD_END)]
            start = min((t for e, t in _timed(person.events) if e.code != BIRTH and t <= as_of), default=as_of)
            events += [_enrolment(PERIOD_START, start), _enrolment(PERIOD_END, max([*times, as_of]))]
        genomic: Mapping[str, Sequence[_Part]] = {
            "polygenic": person.polygenic,
            "findings": person.findings,
            "coverage": person.coverage,
        }
        tables = {name: _table([row.model_dump() for row in rows], GENOMIC[name]) for name, rows in genomic.items()}
        whole = {} if self.record_dir is None else self._of_everybody(self.record_dir)
        vocabulary = {name: table for name, table in whole.items() if name != OTHERS}
        tells = None
        if champion is not None:
            self.hierarchy.learn(champion)
            tells = self.hierarchy.readable(champion, self._tells())
        keys = (str(event["code"]) for event in events)
        vocabulary["ancestors"] = self._with_hierarchy({code for key in keys for code in codes_of(key)})
        return Record.in_memory(_table(events, EVENTS), tells=tells, **tables, **vocabulary)

    def _tells(self) -> Tells | None:
        return None if self.record_dir is None else Record.open(self.record_dir).tells

    def _with_hierarchy(self, codes: set[str]) -> pa.Table:
        """The record's hierarchy and that of these codes; a new table only where a code has come that it lacks."""
        with self._lock:
            links = self.hierarchy.links(codes - self._theirs - self._met)
            self._met.update(code for code, _ in links)
            if links:
                more = pa.Table.from_pylist([{"code": code, "ancestor": above} for code, above in links], ANCESTORS)
                self._ancestors = pa.concat_tables([self._ancestors, more])
            return self._ancestors

    def _person(self, name: str, subject_id: int) -> pa.Table:
        theirs = pc.field("subject_id") == subject_id
        folder = self.record_dir or Path()
        if name == "events":
            return scan(folder, theirs, columns=ROWS.names)
        path = folder / f"genomic/{name}.parquet"
        if not path.exists():
            return GENOMIC[name].empty_table()
        return ds.dataset(path, schema=GENOMIC[name], format="parquet").to_table(filter=theirs)

    def _of_everybody(self, record_dir: Path) -> dict[str, pa.Table]:
        """The record's codes and hierarchy, which code lists are read by, and `OTHERS`. Read again once it is new."""
        parts = (
            record_dir / name for name in ("data", "deltas", "metadata")
        )  # a folder is new once a file in it is exchanged
        state = tuple(path.stat().st_mtime_ns for path in parts if path.exists())
        if self._read_at != state:
            tables = {OTHERS: others_of(Record.open(record_dir), ibis.duckdb.connect())}
            for name, schema in (("codes", CODES), ("ancestors", ANCESTORS)):
                path = record_dir / "metadata" / f"{name}.parquet"
                tables[name] = pq.read_table(path) if path.exists() else schema.empty_table()
            self._whole, self._read_at = tables, state
            with self._lock:
                self._theirs, self._met = frozenset(tables["codes"]["code"].to_pylist()), set()
                self._ancestors = tables["ancestors"].select(ANCESTORS.names).cast(ANCESTORS)
        return self._whole


def _event(event: Event) -> dict[str, object]:
    row: dict[str, object] = event.model_dump(exclude={"codings"})
    code, *others = (canonical_code(each) for each in (event.code, *event.codings))
    row["code"] = key_of(code, sorted(set(others) - {code}))
    row["available_time"] = event.available_time or _known(event)
    return row


def _known(event: Event) -> datetime | None:
    """As `features.sources` has it of every source: midnight sharp is no clock time; a birth is known when it was."""
    dated = event.time is not None and event.time.time() == time.min and event.code != BIRTH
    return datetime.combine(event.time, time.max) if dated and event.time else event.time


def _timed(events: Sequence[Event]) -> list[tuple[Event, datetime]]:
    return [(event, event.time) for event in events if event.time is not None]


def _enrolment(code: str, moment: datetime) -> dict[str, object]:
    return {"code": code, "time": moment, "available_time": moment}


def _table(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Rows of the one person who was sent, in order of time, statics first."""
    ordered = sorted(rows, key=lambda row: str(row.get("time") or ""))
    return pa.Table.from_pylist([{**row, "subject_id": SENT} for row in ordered], schema=schema)
