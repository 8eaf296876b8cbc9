"""The ingest of a FHIR source: resources become flat tables, whose rows are checked and become events."""

from __future__ import annotations

from datetime import date
from functools import reduce
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from features.codes import ANSWER
from features.progress import Progress, silent
from features.record import ANCESTORS, CODES, ORIGIN_COLUMNS, identity
from features.sources.checks import (
    BAD_DATE,
    BAD_NUMBER,
    BEFORE_BIRTH,
    END_BEFORE_START,
    EVENT_COLUMNS,
    NO_CODINGS,
    NO_DATE,
    NO_LAST_DAY,
    NO_PERSON,
    NO_SUCH_PERSON,
    REPEATED,
    STARTS_LATE,
    STILL_OPEN,
    TIMESTAMP,
    is_open,
    key_number,
    merged_periods,
    moment,
    person_and_date_reasons,
)
from features.sources.fhir.extract import DELETED, PERSONAL, WANTED, Extract, extract
from features.sources.fhir.extract import KINDS as READ
from features.sources.fhir.kept import check_servers, kept_flat, kept_tables, said_of, servers_of
from features.sources.fhir.reading import Log, read_log, resources, size_of
from features.sources.fhir.resources import NO_CODE
from features.sources.fhir.servers import OTHER_SERVER, SEVERAL_PEOPLE, WHICH_SERVER
from features.sources.fhir.times import is_never, with_moments
from features.sources.fhir.whose import OTHER_THAN_CONTAINER, Whose, own_name
from features.sources.judging import CONTEXTUAL, FACT, VISIT_END, Ways, origin_types
from features.sources.report import IngestReport
from features.sources.store import FIXED_CODES, Kept, Workspace, workspace, write
from features.sources.updates import Update, finished

SOURCE = "fhir"
# The kinds of fact that types of resources are of, as OMOP's tables part them.
KINDS = {
    "condition": ("Condition",),
    "drug": ("MedicationRequest", "MedicationAdministration", "MedicationDispense", "MedicationStatement"),
    "measurement": ("Observation",),
    "observation": ("Observation", "FamilyMemberHistory", "AllergyIntolerance"),
    "procedure": ("Procedure", "Immunization"),
    "visit": ("Encounter",),
}
WAYS = Ways(("Patient", "Coverage"), "Encounter", by_kind=False, repeats=False)
NO_BIRTH = f"birth {BAD_DATE}"
UNCOVERED = "people without Coverage: enrolled from their first event to death or the day of the export"
REPLACED = "a preliminary result, of which there is a final one"
VISITS_INSIDE = "contained in another resource (no visit of its own; the container was known at its end)"
# What only another resource keeps out.
_CONTEXTUAL = (*CONTEXTUAL, REPLACED, NO_CODE, OTHER_SERVER, SEVERAL_PEOPLE, WHICH_SERVER)
CONTAINED = "contained in another resource (read as its person's)"
NOT_IN_LOG = "resources more or fewer than the export's log counts"


def ingest(
    source: Path, record_dir: Path, *, replace: bool = False, update: bool = False, progress: Progress = silent
) -> IngestReport:
    """Read a FHIR bulk export (NDJSON) or bundles into the record, in place of what the record had from FHIR.

    update: the source holds what has changed (`_since`), and what was deleted: the later version of each resource
    counts, and everything else stays.

    Raises PresageError where the source holds no FHIR file, or nobody can be read.
    """
    with workspace(record_dir, SOURCE, origin=source, replace=replace, update=update) as space:
        opened = Update(space, WAYS) if update else None
        with progress("reading FHIR resources", total=size_of(source)) as advance:
            extracted = extract(source, space.folder / "extract", advance=advance)
        report = IngestReport(SOURCE, "R4", unread=extracted.unread)
        run = _Run(space, extracted, log=read_log(source), report=report, update=opened)
        with progress("checking", total=None):
            events, subjects, verdicts = run.events()
            run.account(verdicts)
        _keep_rejects(space, source, verdicts=verdicts, extracted=extracted)
        codes, ancestors = _metadata(extracted, events, run.facts)
        if opened is not None:
            opened.write(
                whole=events.filter(events.kind.isin(WAYS.whole)), subjects=subjects, codes=ibis.memtable(codes),
                ancestors=ibis.memtable(ancestors), kinds=KINDS, kept=run.kept, report=report,
            )  # fmt: skip
        else:
            write(
                space,
                events=events,
                subjects=subjects,
                codes=ibis.memtable(codes),
                ancestors=ibis.memtable(ancestors),
                kinds=KINDS,
                kept=run.kept,
                report=report,
                progress=progress,
            )
    return finished(report, record_dir) if update else report


class _Run:
    """The flat tables of one source on their way to events."""

    def __init__(
        self, space: Workspace, extracted: Extract, *, log: Log, report: IngestReport, update: Update | None
    ) -> None:
        self.space, self.extracted, self.log, self.report, self.con = space, extracted, log, report, space.con
        self.update = update
        kept = None
        if update is not None:
            extracted.servers = extracted.servers.merged(servers_of(update))
            extracted.linked = True  # by what is kept, perhaps
            self.log = log.later(update.said["transaction_time"])
            kept = kept_flat(update, extracted)
        self.whose = Whose(self.con, extracted, exported_from=log.server, kept=kept)
        if update is not None:
            check_servers(update, extracted.servers, self.whose.home)
        self.flat = self.whose.flat

    def events(self) -> tuple[ir.Table, ir.Table, ir.Table]:
        """All events; the identity map; and of every resource seq, kind, reason, mended, note.

        Of an update the events of people and their enrolment are everybody's, the others its own.
        """
        unique = self.whose.without_contradicted(_without_repeats(self.con, self.flat["resources"]))
        replaced = self.whose.replaced(unique)
        unique = self.whose.without_replaced(unique, replaced)
        patients, subjects = self._patients(unique)
        known = self.whose.with_people(unique, patients, replaced=replaced)
        visits = self.con.create_table("visits", self._visits(known))
        facts = _without_preliminary(self.con, self.con.create_table("facts", self._facts(known, visits)))
        good = [rows.filter(rows.reason.isnull()) for rows in (visits, facts)]
        self.facts = self._facts_to_judge(visits, facts)
        times = good[0].select("subject_id", "time").union(good[1].select("subject_id", "time"))
        if self.update is not None:
            self._judge(self.update, unique)
            times = self.update.current().select("subject_id", "time")
        last_day = self._last_day(times)
        coverages = self.con.create_table("coverages", self._coverages(known, last_day=last_day))
        covered = coverages.filter(coverages.reason.isnull())
        periods = self._periods(times, covered, patients=patients, last_day=last_day)
        made = {
            "person": _with_origin(_person_events(patients, self.whose, unique), "Patient"),
            "visit": _with_origin(_visit_events(good[0]).drop("day", "reason"), "Encounter"),
            "period": _with_origin(periods, "Coverage"),
        }
        parts = {name: self.con.create_table(f"{name}_events", part) for name, part in made.items()}
        parts["fact"] = good[1].select(*EVENT_COLUMNS, *ORIGIN_COLUMNS)
        self._count_events(parts, good[1])
        self.kept = self._kept(unique)
        events = reduce(lambda left, right: left.union(right), parts.values())
        return (
            events,
            subjects,
            self._verdicts(unique, visits=visits, facts=facts, coverages=coverages, patients=patients),
        )

    def _facts_to_judge(self, visits: ir.Table, facts: ir.Table) -> ir.Table:
        """Facts and visits that are in, or that only another resource keeps out: columns of FACT, and `reason`."""
        ends = _with_origin(_visit_events(visits.filter(_may_be_in(visits))), "Encounter")
        facts = facts.filter(_may_be_in(facts)).mutate(day=lambda t: t.time.cast("date"))
        columns = (*FACT, "reason")
        return self.con.create_table("facts_to_judge", ends.select(columns).union(facts.select(columns)))

    def _people(self) -> ir.Table:
        called = self.whose.called.filter(self.whose.called.people == 1)
        return called.select("subject_id", "birth", "death", person=key_number(called.called))

    def _drugs(self) -> ir.Table:
        drugs = self.drugs
        return drugs.select(drug=key_number(drugs.id), code=drugs.drug, codings=drugs.drug_codings)

    def _judge(self, update: Update, unique: ir.Table) -> None:
        """Judge what is new together with what it touches in the record."""
        new = unique.filter(unique.newest, unique.key.notnull(), unique.seq >= 0)
        replaced = new.select("kind", key=key_number(new.key))
        update.judge(self.facts, people=self._people(), replaced=replaced, drugs=self._drugs())

    def _kept(self, unique: ir.Table) -> Kept:
        tables = kept_tables(self.flat, unique, facts=self.facts)
        tables |= {"people": self._people(), "drugs": self._drugs()}
        if self.update is None:
            tables["aside"] = self.facts.filter(self.facts.reason.notnull()).select(FACT)
        return Kept(tables, said_of(self.extracted.servers, self.whose.home, self.log))

    def _patients(self, unique: ir.Table) -> tuple[ir.Table, ir.Table]:
        """person_key, subject_id, birth, death, and what else a Patient says."""
        rows = unique.filter(unique.kind == "Patient", unique.reason.isnull()).join(self.flat["patients"], "seq")
        rows = self.whose.with_source_id(rows)
        subjects = identity.assign(
            self.con, self.space.record_dir, source=SOURCE, people=rows.select("source_id").distinct()
        )
        rows = rows.join(subjects.select("subject_id", "source_id"), "source_id")
        rows = with_moments(rows, "birth", "deceased")
        rows = rows.mutate(
            birth_text=rows.birth,
            birth=rows.birth_time.cast("date"),
            death=rows.deceased_time.cast("date"),
            death_time=rows.deceased_time,
            death_known=rows.deceased_known,
        )
        backwards = (rows.death < rows.birth).fill_null(False)
        rows = rows.mutate(
            death=ibis.ifelse(backwards, ibis.null("date"), rows.death),
            mended=ibis.cases(
                (backwards, "death before birth (death left out)"),
                (rows.birth.isnull() & rows.birth_text.notnull(), NO_BIRTH),
                (rows.death.isnull() & rows.deceased.notnull(), f"death {BAD_DATE}"),
                (rows.dead_without_date, "died, nobody says when"),
                else_=ibis.null("string"),
            ),
        )
        return self.con.create_table("patients", rows), subjects

    def _visits(self, known: ir.Table) -> ir.Table:
        rows = with_moments(known.join(self.flat["encounters"], "seq"), "start", "end")
        rows = rows.mutate(
            day=rows.start_time.cast("date"), dated=rows.start.notnull(), time=rows.start_time, known=rows.start_known
        )
        # Local times go back by an hour when summer ends.
        backwards = (rows.end_time + ibis.interval(hours=1) < rows.time) & (rows.end_known < rows.known)
        ends = rows.end_time.notnull() & ~backwards
        return rows.mutate(
            **_resource(rows),
            visit_id=rows.key,
            usable=rows.person_key.notnull() & rows.day.notnull(),
            end_time=ibis.ifelse(ends, ibis.greatest(rows.end_time, rows.time), ibis.null(TIMESTAMP)),
            end_known=ibis.ifelse(ends, ibis.greatest(rows.end_known, rows.known), ibis.null(TIMESTAMP)),
            reason=_reason(rows),
            mended=ibis.cases(
                (rows.end_time.notnull() & ~ends, END_BEFORE_START),
                (rows.end_time.isnull() & rows.end.notnull(), "end " + BAD_DATE),
                else_=ibis.null("string"),
            ),
        )

    def _facts(self, known: ir.Table, visits: ir.Table) -> ir.Table:
        """One row a fact: the columns of an event, seq, kind, reason, mended."""
        named = known.filter(known.kind == "Medication")
        drugs = self.flat["medications"].semi_join(named, "seq")
        drugs = drugs.group_by("id").agg(drug=drugs.code.min(), drug_codings=drugs.codings.first(order_by=drugs.code))
        drugs = self.drugs = self.con.create_table("drugs", drugs)
        flat = with_moments(self.flat["facts"].rename(fact_mended="mended"), "start", "known_1", "known_2")
        rows = flat.left_join(drugs, flat.medication == drugs.id).drop("id")
        rows = rows.join(self._with_holder(known), "seq")
        ended = visits.filter(visits.reason.isnull())
        ended = ended.group_by("visit_id", "subject_id").agg(visit_known=ended.end_known.max())
        ended = ended.select(visit_id=ended.visit_id, visit_subject=ended.subject_id, visit_known=ended.visit_known)
        rows = rows.left_join(ended, [rows.encounter == ended.visit_id, rows.subject_id == ended.visit_subject])
        rows = rows.mutate(
            day=rows.start_time.cast("date"), dated=rows.start.notnull(), time=rows.start_time, known=rows.start_known
        )
        first, second = rows.known_1_known, rows.known_2_known
        said = ibis.greatest(ibis.coalesce(first, second), ibis.coalesce(second, first))
        # A moment that is said refines a date: what happened in 2016 and was issued in September was known then.
        known = ibis.ifelse((said >= rows.time).fill_null(False), said, rows.known)
        visit = ibis.ifelse(rows.at_visit_end, rows.visit_known, ibis.null(TIMESTAMP))
        available = ibis.greatest(known, ibis.coalesce(visit, known))
        finite = rows.number.abs() < 3.4e38
        waits = rows.at_visit_end & rows.encounter.notnull()
        drug = ibis.ifelse(rows.code.isnull(), rows.medication, ibis.null("string"))
        other = (rows.lost == OTHER_THAN_CONTAINER).fill_null(False)
        return rows.select(
            "seq",
            "kind",
            "subject_id",
            "time",
            code=ibis.coalesce(rows.code, rows.drug),
            numeric_value=ibis.ifelse(finite, rows.number, ibis.null("float64")).cast("float32"),
            text_value=rows.text,
            available_time=available,
            unit=rows.unit,
            codings=ibis.coalesce(rows.codings, ibis.ifelse(rows.code.isnull(), rows.drug_codings, NO_CODINGS)),
            reason=ibis.coalesce(
                _reason(rows), ibis.ifelse(rows.code.isnull() & rows.drug.isnull(), NO_CODE, ibis.null("string"))
            ),
            mended=ibis.cases((rows.number.notnull() & ~finite, BAD_NUMBER), else_=rows.fact_mended),
            preliminary=rows.preliminary,
            **_resource(rows),
            visit=ibis.ifelse(waits, key_number(rows.encounter), ibis.null("int64")),
            own=ibis.ifelse(waits, known, ibis.null(TIMESTAMP)),
            drug=key_number(drug),
            pending=rows.preliminary,
            usable=rows.person_key.notnull() & rows.day.notnull() & (rows.code.notnull() | drug.notnull()) & ~other,
            after_death=(rows.day > rows.death).fill_null(False),
            note=rows.note,
        )

    def _with_holder(self, known: ir.Table) -> ir.Table:
        """What another resource contains comes and goes with it: its key and version are that resource's."""
        if not self.extracted.contained.total():
            return known
        holders = known.select(held_by=known.seq, of=known.resource, held_at=known.updated, held_as=known.version)
        rows = known.left_join(holders, known.holder == holders.held_by)
        of_holder = {"resource": rows.of, "updated": rows.held_at, "version": rows.held_as}
        rows = rows.mutate(
            **{name: ibis.ifelse(rows.holder.notnull(), theirs, rows[name]) for name, theirs in of_holder.items()}
        )
        return rows.select(known.columns)

    def _last_day(self, times: ir.Table) -> date | None:
        """The day of the export, or the last event of all where the log does not say when that was."""
        last = times.time.max().to_pyarrow().as_py()
        text = (self.log.transaction_time or (last.isoformat() if last else None) or "")[:10]
        last_day: date | None = ibis.literal(text or None, type="string").try_cast("date").to_pyarrow().as_py()
        return last_day

    def _coverages(self, known: ir.Table, *, last_day: date | None) -> ir.Table:
        """One row a Coverage: subject_id, start, end, reason. One that has not ended ends with the last day."""
        rows = with_moments(known.join(self.flat["coverages"], "seq"), "start", "end")
        rows = rows.mutate(
            start=rows.start_time.cast("date"),
            end=rows.end_known.cast("date"),
            has_start=rows.start.notnull(),
            ended=rows.end,
        )
        rows = rows.mutate(never=is_open(rows.end, never=is_never(rows.ended), last_day=last_day))
        rows = rows.mutate(is_open=rows.never | rows.ended.isnull())
        rows = rows.mutate(end=ibis.ifelse(rows.is_open, ibis.literal(last_day, type="date"), rows.end))
        unreadable = (rows.start.isnull() & rows.has_start) | (rows.end.isnull() & ~rows.is_open)
        return rows.mutate(
            mended=ibis.cases((rows.never, STILL_OPEN), else_=ibis.null("string")),
            reason=ibis.cases(
                (rows.lost.notnull(), rows.lost),
                (rows.person_key.isnull(), NO_PERSON),
                (rows.subject_id.isnull(), NO_SUCH_PERSON),
                (unreadable, BAD_DATE),
                (rows.start.isnull(), NO_DATE),
                (rows.end.isnull(), NO_LAST_DAY),
                (rows.is_open & (rows.end < rows.start), STARTS_LATE),
                (rows.end < rows.start, END_BEFORE_START),
                (rows.end < rows.birth, BEFORE_BIRTH),
                else_=ibis.null("string"),
            ),
        )

    def _periods(self, times: ir.Table, coverages: ir.Table, *, patients: ir.Table, last_day: date | None) -> ir.Table:
        """Enrolment by Coverage; for people without one from their first event to death or the day of the export.

        A person's own last event ends nothing: who is well does not come.
        """
        covered = coverages.select("subject_id", "birth", "start", "end")
        seen = (
            times.anti_join(covered, "subject_id")
            .group_by("subject_id")
            .agg(start=times.time.min().cast("date"), end=times.time.max().cast("date"))
        )
        n_derived = int(seen.count().to_pyarrow().as_py())
        if n_derived:
            self.report.table("Coverage").noted[UNCOVERED] = n_derived
        seen = seen.join(patients.select("subject_id", "birth", "death"), "subject_id")
        until = ibis.coalesce(seen.death, ibis.literal(last_day, type="date"), seen.end)
        seen = seen.select("subject_id", "birth", "start", end=ibis.greatest(until, seen.start))
        merged = self.con.create_table("periods", merged_periods(covered.union(seen)))
        start, end = (moment(merged[name], ibis.null(TIMESTAMP)) for name in ("start", "end"))
        return _event(merged, time=start.time, code="OBSERVATION_PERIOD//START", known=start.known).union(
            _event(merged, time=end.time, code="OBSERVATION_PERIOD//END", known=end.known)
        )

    def _verdicts(
        self,
        unique: ir.Table,
        *,
        visits: ir.Table,
        facts: ir.Table,
        coverages: ir.Table,
        patients: ir.Table,
    ) -> ir.Table:
        """What became of each resource: seq, kind, reason, mended, note, after_death."""
        nothing = {"mended": ibis.null("string"), "after_death": False}
        counted = unique.kind.isin(sorted(PERSONAL)) | (unique.reason == DELETED)
        out = unique.filter(unique.reason.notnull(), counted).select("seq", "kind", "reason", "note").mutate(**nothing)
        columns = ["seq", "kind", "reason", "mended", "after_death", "note"]
        by_fact = facts.group_by("seq").agg(
            kind=facts.kind.arbitrary(),
            reason=facts.reason.min(),
            mended=facts.mended.min(),
            after_death=facts.after_death.any(),
            note=facts.note.arbitrary(),
        )
        rows = (
            by_fact.select(columns)
            .union(visits.mutate(after_death=False).select(columns))
            .union(coverages.mutate(after_death=False).select(columns))
            .union(patients.mutate(after_death=False, reason=ibis.null("string")).select(columns))
        )
        rows = rows.union(out.select(rows.columns))
        return self.con.create_table("verdicts", rows.filter(rows.seq >= 0))  # those below are of earlier readings

    def _count_events(self, parts: dict[str, ir.Table], facts: ir.Table) -> None:
        for kind in sorted(PERSONAL & set(self.extracted.rows)):
            self.report.table(kind)
        for row in facts.group_by("kind").agg(n=facts.count()).to_pyarrow().to_pylist():
            self.report.table(row["kind"]).events = row["n"]
        for kind, part in (("Patient", "person"), ("Encounter", "visit"), ("Coverage", "period")):
            n = int(parts[part].count().to_pyarrow().as_py())
            if n or kind in self.extracted.rows:
                self.report.table(kind).events = n

    def account(self, verdicts: ir.Table) -> None:
        """Count every resource of the source, by type and reason."""
        for kind, rows in sorted(self.extracted.rows.items()):
            table = self.report.table(kind)
            table.rows = rows
            if kind not in READ:
                table.status = "not mapped"
        for (kind, reason), rows in sorted(self.extracted.wrong.items()):
            table = self.report.table(kind)
            table.rows += rows
            table.rejected[reason] += rows
        counted = verdicts.group_by("kind", "reason", "mended", "note", "after_death").agg(n=verdicts.count())
        for row in counted.to_pyarrow().to_pylist():
            table, n = self.report.table(row["kind"]), row["n"]
            if row["reason"]:
                table.rejected[row["reason"]] += n
                continue
            if row["mended"]:
                table.mended[row["mended"]] += n
            if row["note"]:
                table.noted[row["note"]] += n
            if row["after_death"]:
                table.noted["after death (kept)"] += n
        for kind, inside in self.extracted.contained.items():
            if inside:
                self.report.table(kind).noted[CONTAINED] = inside
        if self.extracted.visits_inside:
            self.report.table("Encounter").noted[VISITS_INSIDE] = self.extracted.visits_inside
        for kind, expected in self.log.resources.items():
            if kind in self.report.tables:
                difference = self.report.tables[kind].rows - self.extracted.contained[kind] - expected
                if difference:
                    self.report.table(kind).noted[NOT_IN_LOG] = abs(difference)


def _without_preliminary(con: Backend, facts: ir.Table) -> ir.Table:
    """A preliminary result is set aside where there is a final one of the same thing, person and moment.

    Two results are of the same thing when they share any coding, whatever its order; what was answered is none of them.
    """
    if not bool(facts.preliminary.any().fill_null(False).to_pyarrow().as_py()):
        return facts
    codes = ibis.array([facts.code]).concat(facts.codings.fill_null(ibis.literal([], type="array<string>")))
    good = facts.mutate(own_code=facts.code, called=codes).filter(facts.reason.isnull())
    each = good.select("seq", "subject_id", "time", "own_code", "preliminary", one=good.called.unnest())
    each = each.filter(~each.one.startswith(ANSWER))
    final = each.filter(~each.preliminary).select("subject_id", "time", "one")
    replaced = each.filter(each.preliminary).semi_join(final, ["subject_id", "time", "one"])
    replaced = replaced.select(held_by="seq", held_code="own_code").distinct()
    rows = facts.left_join(replaced, [facts.seq == replaced.held_by, facts.code == replaced.held_code])
    is_replaced = rows.held_by.notnull() & rows.preliminary
    rows = rows.mutate(reason=ibis.coalesce(rows.reason, ibis.ifelse(is_replaced, REPLACED, ibis.null("string"))))
    return con.create_table("facts_without_preliminary", rows.drop("held_by", "held_code"))


def _reason(rows: ir.Table) -> ir.StringValue:
    return ibis.cases((rows.lost.notnull(), rows.lost), *person_and_date_reasons(rows), else_=ibis.null("string"))


def _without_repeats(con: Backend, rows: ir.Table) -> ir.Table:
    """Resources of which the same id came several times are set aside but for the one updated last, or read first."""
    keys = rows.filter(rows.key.notnull())
    several = keys.group_by("key").agg(n=keys.count()).filter(lambda t: t.n > 1)
    if not int(several.count().to_pyarrow().as_py()):
        return con.create_table("unique_resources", rows.mutate(newest=ibis.literal(True)))
    # The later moment, whatever its offset, then the higher version: one that is no number counts as none.
    updated, version = rows.updated.try_cast("timestamp('UTC')"), rows.version.try_cast("int64")
    # A deletion of which nobody says when is later than all that is known when it is read.
    at_last = (rows.deleted & updated.isnull() & (rows.seq >= 0)).fill_null(False)
    order = [ibis.desc(at_last), ibis.desc(updated, nulls_first=False), ibis.desc(version, nulls_first=False), rows.seq]
    nth = ibis.row_number().over(group_by=[rows.kind, rows.key], order_by=order)
    rows = rows.mutate(newest=rows.key.isnull() | (nth == 0))
    repeated = ibis.ifelse(rows.newest, ibis.null("string"), ibis.literal(REPEATED))
    return con.create_table("unique_resources", rows.mutate(reason=ibis.coalesce(rows.reason, repeated)))


def _resource(rows: ir.Table) -> dict[str, ir.Value]:
    """The columns of an origin that say which resource, of whom, and which version of it."""
    return {
        "key": rows.resource,
        "person": key_number(rows.person_key),
        "updated": rows.updated,
        "version": rows.version,
    }


def _may_be_in(rows: ir.Table) -> ir.BooleanValue:
    """Whether a fact is in, or only another resource keeps it out."""
    return rows.usable & (rows.reason.isnull() | rows.reason.isin(_CONTEXTUAL))


def _with_origin(events: ir.Table, kind: str) -> ir.Table:
    """Events with all columns of ORIGINS, those that they have not null, and of this kind."""
    types = {name: kind for name, kind in origin_types().items() if name not in events.columns}
    rows = events.mutate(**{name: ibis.null(kind) for name, kind in types.items()}).mutate(kind=ibis.literal(kind))
    more = [name for name in ("day", "reason") if name in events.columns]
    return rows.select(*EVENT_COLUMNS, *ORIGIN_COLUMNS, *more)


def _event(
    rows: ir.Table,
    *,
    time: ir.TimestampValue,
    code: ir.StringValue | str,
    known: ir.TimestampValue,
    number: ir.FloatingValue | None = None,
    text: ir.StringValue | None = None,
    unit: str | None = None,
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
        **{
            name: rows[name]
            for name in ("key", "person", "updated", "version", "day", "reason")
            if "usable" in rows.columns
        },
    )


def _person_events(patients: ir.Table, whose: Whose, unique: ir.Table) -> ir.Table:
    never = ibis.null(TIMESTAMP)
    born, dead = patients.filter(patients.birth.notnull()), patients.filter(patients.death.notnull())
    events = _event(born, time=born.birth_time, code="MEDS_BIRTH", known=born.birth_time)
    events = events.union(_event(dead, time=dead.death_time, code="MEDS_DEATH", known=dead.death_known))
    facts = whose.flat["statics"].join(patients.select("seq", "subject_id"), "seq")
    events = events.union(_event(facts, time=never, code=facts.code, known=never))
    names = whose.names(unique)
    labels = names.group_by("id").agg(label=names.label.min()).rename(name_id="id")
    for column, code in (("care_site", "CARE_SITE"), ("provider", "PROVIDER")):
        rows = patients.filter(patients[column].notnull())
        rows = rows.left_join(labels, rows[column] == labels.name_id)
        label = ibis.coalesce(rows.label, own_name(rows[column], several=whose.several))
        events = events.union(_event(rows, time=never, code=code, known=never, text=label))
    return events


def _visit_events(visits: ir.Table) -> ir.Table:
    ended = visits.filter(visits.end_time.notnull())
    days = ended.end_time.cast("date").delta(ended.time.cast("date"), unit="day").cast("float32")
    end_code = VISIT_END + ended.code.re_replace("^Visit//", "")
    ends = _event(ended, time=ended.end_time, code=end_code, known=ended.end_known, number=days, unit="d")
    return _event(visits, time=visits.time, code=visits.code, known=visits.known).union(ends)


def _metadata(extracted: Extract, events: ir.Table, facts: ir.Table) -> tuple[pa.Table, pa.Table]:
    """Codes with their words. FHIR says nothing of a hierarchy: that comes from a vocabulary."""
    both = events.select("code", "codings").union(facts.select("code", "codings"))
    beside = both.filter(both.codings.notnull()).select(code=both.codings.unnest())
    found = both.filter(both.code.notnull()).select("code").union(beside).distinct()
    used: list[str] = sorted(found.to_pyarrow()["code"].to_pylist())
    rows = [{"code": code, "description": extracted.words.get(code) or FIXED_CODES.get(code)} for code in used]
    nullable = pa.schema([field.with_nullable(True) for field in CODES])
    return pa.Table.from_pylist(rows, nullable), ANCESTORS.empty_table()


def _keep_rejects(space: Workspace, source: Path, *, verdicts: ir.Table, extracted: Extract) -> None:
    """Read the source again for the text of what was set aside or mended."""
    aside = verdicts.filter(verdicts.reason.notnull() | verdicts.mended.notnull())
    table = aside.select("seq", "kind", "reason", "mended").to_pyarrow().to_pylist()
    why = {row["seq"]: row for row in table}
    if not why and not extracted.wrong:
        return
    rows: dict[str, list[dict[str, object]]] = {}
    for seq, one in enumerate(resources(source, WANTED, advance=lambda n: None)):
        verdict = why.get(seq)
        reason = one.wrong or (verdict and (verdict["reason"] or verdict["mended"]))
        if reason:
            text = one.text.decode("utf-8", errors="replace")
            kept = not one.wrong and verdict is not None and verdict["reason"] is None
            rows.setdefault(one.kind, []).append({"source_row": text, "reason": reason, "kept": kept})
    for kind, kept_rows in sorted(rows.items()):
        space.set_aside(kind, ibis.memtable(pa.Table.from_pylist(kept_rows)))
