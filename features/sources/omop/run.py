"""The ingest of an OMOP source: CDM 5.3 and 5.4 into the record."""

from __future__ import annotations

from datetime import date
from functools import reduce
from pathlib import Path
from typing import cast

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from features.progress import Progress, silent
from features.record import ORIGIN_COLUMNS, identity
from features.sources.accounts import NOTES, account
from features.sources.broken_files import damage_named
from features.sources.checks import EVENT_COLUMNS, NO_CODINGS, REPEATED, TIMESTAMP, key_number, merged_periods, moment
from features.sources.judging import CONTEXTUAL, FACT, VISIT_END, Ways, fact_types, origin_types
from features.sources.omop import columns as c
from features.sources.omop import people
from features.sources.omop.cdm import CLINICAL, ClinicalTable
from features.sources.omop.files import Cdm, mark_absent, opened
from features.sources.omop.kept import SMALL, VOCABULARY, WithKept, kept_tables
from features.sources.omop.places import Wanted, called
from features.sources.omop.rows import Said, World, clinical_rows
from features.sources.omop.said import drugs, numbers
from features.sources.omop.text import BROKEN_LINES
from features.sources.omop.vocabulary import codes_and_ancestors, concepts, visit_kinds
from features.sources.report import IngestReport
from features.sources.store import FIXED_CODES, Kept, Workspace, workspace, write
from features.sources.updates import Update, finished

SOURCE = "omop"
KINDS = {**{spec.stem: (spec.name,) for spec in CLINICAL}, "visit": ("visit_occurrence",)}
WAYS = Ways(("person", "death", "observation_period"), "visit_occurrence", by_kind=True, repeats=True)
_CODED = ("concept_id", "standard_id")


def ingest(
    source: Path | str,
    record_dir: Path,
    *,
    schema: str | None = None,
    vocabulary_schema: str | None = None,
    replace: bool = False,
    update: bool = False,
    progress: Progress = silent,
) -> IngestReport:
    """Read an OMOP source (a folder or zip of CSV or Parquet, a DuckDB file, or the URL of a PostgreSQL database) into
    the record, in place of what it had from OMOP. schema: that of the person table, in a database of several;
    vocabulary_schema: that of the concept table, where it is another. update: the source holds what has changed; a row
    takes the place of those with its key, and everything else stays.

    Raises PresageError where nobody can be read, or a column that a table cannot do without is missing.
    """
    wanted = Wanted(schema, vocabulary_schema)
    with (
        workspace(
            record_dir, SOURCE, origin=called(source), replace=replace, update=update, small=frozenset(SMALL)
        ) as space,
        opened(source, space.con, scratch=space.folder, wanted=wanted, update=update) as cdm,
        damage_named(cdm.parquet_files),
    ):
        report = IngestReport(SOURCE, _version(cdm))
        mark_absent(cdm, report)
        _Ingest(space, cdm, report=report, update=Update(space, WAYS) if update else None).run(progress)
    return finished(report, record_dir) if update else report


class _Ingest:
    """One run: tables become events in the scratch database, then the record's shards."""

    def __init__(self, space: Workspace, cdm: Cdm, *, report: IngestReport, update: Update | None) -> None:
        self.space, self.report, self.con, self.update = space, report, space.con, update
        self.kept = None if update is None else WithKept(cdm, update)
        # It has what is asked of a source's tables here.
        self.cdm = cdm if self.kept is None else cast("Cdm", self.kept)
        self.events: list[ir.Table] = []
        self.facts: list[ir.Table] = []  # that are in, or that only another row keeps out
        self.keys: list[ir.Table] = []

    def run(self, progress: Progress) -> None:
        clinical = [spec for spec in CLINICAL if self.cdm.has(spec.name)]
        with progress("reading OMOP tables", total=4 + len(clinical)) as advance:
            known = concepts(self.cdm)
            world, subjects = self._people(known)
            advance(2)
            world = self._visits(world)
            advance(1)
            for spec in clinical:
                self._clinical(spec, world)
                advance(1)
            if self.update is not None:
                self._judge(self.update, world)
            self._periods(world)
            advance(1)
        self._write(world, subjects, known, progress)

    def _write(self, world: World, subjects: ir.Table, known: ir.Table, progress: Progress) -> None:
        events = reduce(lambda left, right: left.union(right), self.events)
        facts = reduce(lambda left, right: left.union(right), self.facts) if self.facts else None
        coded = ("code", "codings", "concept_id", "standard_id")
        used = events.select(coded) if facts is None else events.select(coded).union(facts.select(coded))
        codes, ancestors = self._metadata(used, known)
        tables = kept_tables(self.cdm, known, used=used)
        kept = Kept({**tables, "people": _people_of(world)}, {"tables": sorted(self.cdm.names & {*VOCABULARY})})
        if self.update is not None:
            whole = events.filter(events.kind.isin(WAYS.whole))
            self.update.write(
                whole=whole, subjects=subjects, codes=codes, ancestors=ancestors, kinds=KINDS, kept=kept,
                report=self.report,
            )  # fmt: skip
            return
        if facts is not None:
            aside = facts.filter(facts.reason.notnull()).select(FACT)
            kept = Kept({**kept.tables, "aside": aside}, kept.said)
        write(
            self.space,
            events=events,
            subjects=subjects,
            codes=codes,
            ancestors=ancestors,
            kinds=KINDS,
            kept=kept,
            report=self.report,
            progress=progress,
        )

    def _judge(self, update: Update, world: World) -> None:
        """Judge what is new together with what it touches in the record."""
        facts = reduce(lambda left, right: left.union(right), self.facts) if self.facts else _nothing()
        keys = reduce(lambda left, right: left.union(right), self.keys) if self.keys else _nothing()
        if self.kept is not None:
            self.kept.check_concepts(facts)
        update.judge(facts, people=_people_of(world), replaced=keys)
        for name, table in self.report.tables.items():
            if name in SMALL and table.status == "read":
                table.status = "with what the record keeps of it"
            table.noted.pop(NOTES["note_visit"], None)  # it may be among those of the record

    def _people(self, known: ir.Table) -> tuple[World, ir.Table]:
        raw = self.cdm.table("person")
        key = people.person_key(raw)
        persons = self.con.create_table("person_rows", people.person_rows(raw, key))
        self._account("person", persons)
        persons = persons.filter(persons.reason.isnull())
        subjects = identity.assign(self.con, self.space.record_dir, source=SOURCE, people=persons.select("source_id"))
        persons = persons.join(subjects.select("source_id", "subject_id"), "source_id")
        world = World(persons.select("person_key", "subject_id", "birth", death=ibis.null("date")), None, known, key)
        world = self._deaths(world)
        self._keep(
            "person", _person_events(persons, self._names("care_site"), providers=self._names("provider"), known=known)
        )
        return world, subjects

    def _deaths(self, world: World) -> World:
        persons = world.persons
        if self.cdm.has("death"):
            rows = people.death_rows(self.cdm.table("death"), world)
            rows = self.con.create_table("death_rows", rows)
            self._account("death", rows)
            good = rows.filter(rows.reason.isnull())
            self._keep("death", _event(good, time=good.time, code="MEDS_DEATH", text=good.cause_code, known=good.known))
            persons = persons.drop("death").left_join(good.select("subject_id", death=good.day), "subject_id")
            persons = persons.drop("subject_id_right")
        persons = self.con.create_table("persons", persons)
        return World(persons, None, world.concepts, world.person_key)

    def _names(self, table: str) -> ir.Table | None:
        """Columns id, label: the source's own id of a care site or provider."""
        if not self.cdm.has(table):
            return None
        raw = self.cdm.table(table)
        key = c.key(raw, f"{table}_id").cast("string")
        rows = raw.select(id=key, label=ibis.coalesce(c.text(raw, f"{table}_source_value"), key))
        self.report.table(table).rows = int(rows.count().to_pyarrow().as_py())
        return rows.filter(rows.id.notnull()).group_by("id").agg(label=rows.label.min())

    def _periods(self, world: World) -> None:
        if not self.cdm.has("observation_period"):
            return
        rows = people.period_rows(self.cdm.table("observation_period"), world, last_day=self._last_day())
        rows = self.con.create_table("period_rows", rows)
        self._account("observation_period", rows)
        merged = merged_periods(rows.filter(rows.reason.isnull()))
        start, end = (moment(merged[name], ibis.null(TIMESTAMP)) for name in ("start", "end"))
        self._keep(
            "observation_period",
            _event(merged, time=start.time, code="OBSERVATION_PERIOD//START", known=start.known).union(
                _event(merged, time=end.time, code="OBSERVATION_PERIOD//END", known=end.known)
            ),
        )

    def _last_day(self) -> date | None:
        """The last day on which something had happened and was known, no later than the day of extraction."""
        times = ("time", "available_time")
        lived = reduce(lambda left, right: left.union(right), self.events)
        lived = lived.filter(lived.code != "MEDS_BIRTH")
        if self.update is None:
            lived = lived.select(times)
        else:
            lived = lived.filter(lived.kind == "death").select(times).union(self.update.current().select(times))
        lived = lived.filter(lived.time.notnull())
        seen = ibis.least(lived.time, lived.available_time).max().to_pyarrow().as_py()
        days = [seen and seen.date(), _extracted(self.cdm)]
        return min((day for day in days if day), default=None)

    def _visits(self, world: World) -> World:
        if not self.cdm.has("visit_occurrence"):
            return world
        rows = people.visit_rows(self.cdm.table("visit_occurrence"), world, kinds=visit_kinds(self.cdm))
        staged = self.con.create_table("visit_rows", rows.drop("source_row"))
        account(
            self.space,
            self.report,
            name="visit_occurrence",
            staged=staged,
            rows=rows,
            broken=self._broken("visit_occurrence"),
        )
        rows = staged
        self.keys.append(rows.select("key", kind=ibis.literal("visit_occurrence")))
        good = rows.filter(rows.reason.isnull())
        self._keep("visit_occurrence", _visit_events(good))
        usable = rows.filter(_may_be_in(rows))
        facts = _visit_events(usable).mutate(kind=ibis.literal("visit_occurrence"))
        self.facts.append(facts.select(*FACT, *_CODED, "reason"))
        visits = good.select("visit_id", visit_subject=good.subject_id, visit_known=good.end_known)
        return World(world.persons, visits, world.concepts, world.person_key)

    def _clinical(self, spec: ClinicalTable, world: World) -> None:
        raw = self.cdm.table(spec.name)
        by_name = drugs(self.cdm, raw, world.concepts) if spec.stem == "drug" else None
        said = Said(numbers(self.cdm, raw, spec), by_name)
        rows = clinical_rows(raw, spec, world=world, said=said)
        staged = self.con.create_table(f"{spec.name}_rows", rows.drop("source_row"))
        staged, repeated = self._without_repeats(spec, rows, staged=staged)
        account(
            self.space,
            self.report,
            name=spec.name,
            staged=staged,
            rows=rows,
            repeated=repeated,
            broken=self._broken(spec.name),
        )
        table = self.report.table(spec.name)
        table.events = table.rows - sum(table.rejected.values())
        staged = staged.mutate(**_no_origin(staged), kind=ibis.literal(spec.name), day=staged.time.cast("date"))
        self.events.append(staged.filter(staged.reason.isnull()).select(*EVENT_COLUMNS, *_CODED, *ORIGIN_COLUMNS))
        self.facts.append(staged.filter(_may_be_in(staged)).select(*FACT, *_CODED, "reason"))
        self.keys.append(staged.select("key", "kind"))
        self.cdm.release(spec.name)

    def _without_repeats(
        self, spec: ClinicalTable, rows: ir.Table, *, staged: ir.Table
    ) -> tuple[ir.Table, ir.Table | None]:
        """Set aside rows that repeat the event of a row with their key; the same key on another event is noted."""
        good = staged.filter(staged.reason.isnull(), staged.row_key.notnull())
        shared = good.group_by("row_key").agg(n=good.count()).filter(lambda t: t.n > 1)
        shared = self.con.create_table(f"{spec.name}_shared", shared)
        n_surplus = int(shared.aggregate(n=(shared.n - 1).sum().fill_null(0)).to_pyarrow()["n"][0].as_py())
        if not n_surplus:
            return staged, None
        among = rows.filter(rows.reason.isnull()).semi_join(shared, "row_key")
        # Everything but the moment it became known tells two events apart.
        event = [
            among[name]
            for name in ("row_key", "subject_id", "time", "code", "numeric_value", "text_value", "unit", "codings")
        ]
        nth = ibis.row_number().over(group_by=event, order_by=[among.available_time, among.source_row])
        among = self.con.create_table(f"{spec.name}_among", among.mutate(nth=nth))
        repeats = among.filter(among.nth > 0)
        report = self.report.table(spec.name)
        n_repeats = int(repeats.count().to_pyarrow().as_py())
        n_others = n_surplus - n_repeats
        if n_others:
            report.noted["shares its key with a row of another event (both kept)"] = n_others
        if not n_repeats:
            return staged, None
        rest = staged.filter(staged.reason.notnull() | staged.row_key.isnull()).union(good.anti_join(shared, "row_key"))
        kept = among.filter(among.nth == 0).select(staged.columns)
        repeats = repeats.mutate(reason=ibis.literal(REPEATED))
        whole = rest.union(kept).union(repeats.select(staged.columns))
        return self.con.create_table(f"{spec.name}_unique", whole), repeats

    def _account(self, name: str, rows: ir.Table) -> None:
        account(self.space, self.report, name=name, staged=rows, rows=rows, broken=self._broken(name))

    def _broken(self, name: str) -> ir.Table | None:
        return self.con.table(f"{BROKEN_LINES}_{name}") if self.cdm.broken.get(name) else None

    def _keep(self, name: str, events: ir.Table) -> None:
        if not {"concept_id", "standard_id"} <= set(events.columns):
            events = events.mutate(concept_id=ibis.null("int64"), standard_id=ibis.null("int64"))
        events = events.mutate(**_no_origin(events), kind=ibis.literal(name))
        columns = [*EVENT_COLUMNS, *_CODED, *ORIGIN_COLUMNS]
        kept = self.con.create_table(f"{name}_events", events.select(columns))
        self.report.table(name).events = int(kept.count().to_pyarrow().as_py())
        self.events.append(kept)

    def _metadata(self, events: ir.Table, known: ir.Table) -> tuple[ir.Table, ir.Table]:
        used = events.select("code", "concept_id").distinct()
        # The standard concept beside a source concept is a coding of that row, and has ancestors of its own.
        beside = events.filter(events.standard_id.notnull()).select("standard_id").distinct()
        beside = beside.join(known, beside.standard_id == known.concept_id)
        others = events.filter(events.codings.notnull()).select(code=events.codings.unnest()).distinct()
        others = others.mutate(concept_id=ibis.null("int64"))
        used = used.union(beside.select("code", "concept_id")).union(others).distinct()
        codes, ancestors = codes_and_ancestors(self.cdm, known, used=used)
        fixed = ibis.memtable(pa.table({"code": list(FIXED_CODES), "fixed": list(FIXED_CODES.values())}))
        codes = codes.left_join(fixed, "code").drop("code_right")
        return codes.mutate(description=ibis.coalesce(codes.description, codes.fixed)).drop("fixed"), ancestors


def _visit_events(visits: ir.Table) -> ir.Table:
    """Start and end of visits."""
    ended = visits.filter(visits.end_time.notnull())
    days = ended.end_time.cast("date").delta(ended.time.cast("date"), unit="day").cast("float32")
    end_code = VISIT_END + ended.code.re_replace("^Visit//", "")
    starts = _event(visits, time=visits.time, code=visits.code, known=visits.known, concept=visits.concept_id)
    ends = _event(ended, time=ended.end_time, code=end_code, number=days, unit="d", known=ended.end_known)
    both = starts.union(ends)
    return both.mutate(**_no_origin(both))


def _may_be_in(rows: ir.Table) -> ir.BooleanValue:
    """Whether a row is in, or only another row keeps it out."""
    return rows.usable & (rows.reason.isnull() | rows.reason.isin(CONTEXTUAL))


def _no_origin(rows: ir.Table) -> dict[str, ir.Value]:
    """The columns of an origin that rows do not have."""
    return {name: ibis.null(kind) for name, kind in origin_types().items() if name not in (*rows.columns, "kind")}


def _nothing() -> ir.Table:
    """No fact."""
    types = {**fact_types(), "concept_id": "int64", "standard_id": "int64", "reason": "string"}
    return ibis.memtable([], schema=types)


def _people_of(world: World) -> ir.Table:
    rows = world.persons
    return rows.select("subject_id", "birth", "death", person=key_number(rows.person_key))


def _version(cdm: Cdm) -> str | None:
    if not cdm.has("cdm_source"):
        return None
    raw = cdm.table("cdm_source")
    versions = raw.select(version=c.text(raw, "cdm_version")).limit(1).to_pyarrow().to_pylist()
    return f"CDM {versions[0]['version'].lstrip('v')}" if versions and versions[0]["version"] else None


def _extracted(cdm: Cdm) -> date | None:
    """The day on which the data were taken out of the system they come from, where the source says it."""
    if not cdm.has("cdm_source"):
        return None
    raw = cdm.table("cdm_source")
    release: date | None = c.day(raw, "source_release_date").max().to_pyarrow().as_py()
    return release


def _event(
    rows: ir.Table,
    *,
    time: ir.TimestampValue,
    code: ir.StringValue | str,
    known: ir.TimestampValue,
    number: ir.FloatingValue | None = None,
    text: ir.StringValue | None = None,
    unit: str | None = None,
    concept: ir.IntegerValue | None = None,
) -> ir.Table:
    return rows.select(
        subject_id=rows.subject_id,
        time=time,
        code=code if isinstance(code, ir.Value) else ibis.literal(code),
        numeric_value=ibis.null("float32") if number is None else number,
        text_value=ibis.null("string") if text is None else text,
        available_time=known,
        unit=ibis.null("string") if unit is None else ibis.literal(unit),
        codings=NO_CODINGS,
        **{name: rows[name] for name in ("key", "person", "day", "reason") if name in rows.columns},
        concept_id=ibis.null("int64") if concept is None else concept,
        standard_id=ibis.null("int64"),
    )


def _person_events(
    persons: ir.Table, care_sites: ir.Table | None, *, providers: ir.Table | None, known: ir.Table
) -> ir.Table:
    """Birth, and the static facts: gender, race, ethnicity, care site, provider."""
    never = ibis.null(TIMESTAMP)
    born = persons.filter(persons.birth.notnull())
    events = _event(born, time=born.birth_time, code="MEDS_BIRTH", known=born.birth_time)
    for fact, prefix in (("gender", "Gender"), ("race", "Race"), ("ethnicity", "Ethnicity")):
        standard, source, value = (persons[f"{fact}_{part}"] for part in ("standard", "source", "value"))
        rows = persons.left_join(known, standard == known.concept_id)
        code = ibis.coalesce(
            rows.code, "OMOP//" + ibis.coalesce(standard, source).cast("string"), f"{prefix}//" + value
        )
        facts = _event(rows, time=never, code=code, known=never, concept=rows.concept_id)
        events = events.union(facts.filter(facts.code.notnull()))
    for column, names, code in (("care_site", care_sites, "CARE_SITE"), ("provider", providers, "PROVIDER")):
        rows = persons.filter(persons[column].notnull())
        if names is not None:
            rows = rows.left_join(names, rows[column] == names.id)
            label = ibis.coalesce(rows.label, rows[column])
        else:
            label = rows[column]
        number = rows[column].try_cast("float32")
        events = events.union(_event(rows, time=never, code=code, known=never, text=label, number=number))
    return events
