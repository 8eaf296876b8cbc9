"""The judgement of an update: who is in, and when it was known, of the new facts and of those that they touch.

The facts that are new, those set aside before and those of the record that what is new can touch are judged by one
function, as DuckDB's SQL over the record's files and a scratch database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.record import ORIGIN_COLUMNS, ROWS
from features.sources.checks import (
    AFTER_DEATH_DAYS,
    BEFORE_BIRTH,
    LONG_AFTER_DEATH,
    NO_SUCH_PERSON,
    REPEATED,
)

# What only another row of the source keeps out: such a fact is kept, and judged again with every update.
CONTEXTUAL = (NO_SUCH_PERSON, BEFORE_BIRTH, LONG_AFTER_DEATH, REPEATED)
_VALUES = ("time", "code", "numeric_value", "text_value", "available_time", "unit", "codings")
# A fact before it is judged: an event without its subject; day: what its person's birth and death are compared with.
FACT = (*ORIGIN_COLUMNS, *_VALUES, "day")
PEOPLE = ("person", "subject_id", "birth", "death")
VISIT_END = "VISIT_END//"
# Dated events of the whole kinds: of people and their enrolment.
MADE_ANEW = ("MEDS_BIRTH", "MEDS_DEATH", "OBSERVATION_PERIOD//START", "OBSERVATION_PERIOD//END")
WHOLE = "run presage ingest on the whole source, without --update"
CODED = ("code", "codings")


@dataclass(frozen=True, slots=True)
class Ways:
    """How the rows of a source depend on each other.

    whole: kinds of events that are made anew from small tables. visits: the kind whose end others wait for. by_kind:
    whether a key means a row only together with its kind. repeats: whether of equal facts with one key one counts.
    """

    whole: tuple[str, ...]
    visits: str
    by_kind: bool
    repeats: bool


class Judging:
    """The rows of a source in a record, and what is new, as tables and views of a scratch database.

    folder: what the record keeps of the source. Views `stored_rows` and `stored_origins` hold the record's rows, `void`
    the numbers of those that are void already.
    """

    def __init__(self, con: Backend, folder: Path, ways: Ways) -> None:
        self.con, self.folder, self.ways, self.keyed = con, folder, ways, True

    def _view(self, name: str, paths: Iterable[Path]) -> None:
        listed = ", ".join(quoted(str(path)) for path in paths)
        self._run(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")

    def _run(self, sql: str) -> None:
        self.con.raw_sql(sql)

    def _n(self, sql: str) -> int:
        return int(self.con.raw_sql(f"SELECT count(*) FROM {sql}").fetchall()[0][0])

    def kept(self, name: str) -> ir.Table | None:
        """A small table that the record keeps of the source."""
        path = self.folder / f"{name}.parquet"
        return self.con.read_parquet(str(path)) if path.is_file() else None

    def must_keep(self, name: str) -> ir.Table:
        """The same of a table that every record of the source keeps."""
        table = self.kept(name)
        if table is None:
            raise PresageError(
                f"{self.folder}/{name}.parquet",
                "what the record keeps for updates",
                found="no such file",
                way_out=WHOLE,
            )
        return table

    def versions(self, keys: ir.Table) -> ir.Table:
        """The versions of resources that the record has facts of: kind, key, updated, version.

        keys: kind, key, number.
        """
        self.con.create_table("asked_versions", keys.select("kind", "key", "number"))
        aside = f"UNION ALL ({self._known('aside', ('key', 'updated', 'version'))})" if self._has("aside") else ""
        self._run(
            "CREATE TABLE versions AS SELECT a.kind, a.key, any_value(v.updated) AS updated, any_value(v.version) AS"
            " version FROM asked_versions a JOIN (SELECT key, updated, version FROM stored_origins WHERE key IN"
            f" (SELECT number FROM asked_versions) AND row NOT IN (SELECT row FROM void) {aside}) v"
            " ON a.number = v.key GROUP BY a.kind, a.key"
        )
        return self.con.table("versions")

    def _has(self, name: str) -> bool:
        return (self.folder / f"{name}.parquet").is_file()

    def judge(self, facts: ir.Table, *, people: ir.Table, replaced: ir.Table, drugs: ir.Table | None = None) -> None:
        """Judge the new facts with those of the record that they can touch.

        facts: columns of FACT. people: columns of PEOPLE, a row for each name of one person. replaced: kind and key of
        the rows in whose place others come, or none. drugs: drug, code, codings of what facts point to.
        """
        con = self.con
        con.create_table("facts_new", facts.select(FACT).cast(fact_types()))
        con.create_table("replaced_keys", replaced.select("kind", "key").filter(replaced.key.notnull()).distinct())
        con.create_table("people_new", people.select(PEOPLE))
        self._keep_drugs(drugs)
        self._run(
            f"CREATE TABLE people_changed AS {_changed('people_new', self._known('people', PEOPLE), name='person')}"
        )
        known = self._known("drugs", ("drug", *CODED))
        self._run(f"CREATE TABLE drugs_changed AS {_changed('drugs_new', known, name='drug')}")
        self._touch()
        self._judge_visits()
        self._judge_facts()

    def of_people(self, people: ir.Table) -> tuple[ir.Table, ir.Table]:
        """All that the record has of these people (column person), for a source without keys: its events, and the facts
        set aside. `judged_as` then says what is in their place.
        """
        self.con.create_table("asked_people", people.select("person").distinct())
        asked = "person IN (SELECT person FROM asked_people)"
        self._run(
            f"CREATE TABLE touched_origins AS SELECT * FROM stored_origins WHERE {asked}"
            " AND row NOT IN (SELECT row FROM void)"
        )
        self._fetch("touched", "FROM touched_origins")
        self._run("CREATE TABLE waiting AS SELECT * FROM touched LIMIT 0")
        if self._has("aside"):
            self._run(f"CREATE TABLE aside_known AS {self._known('aside', FACT)}")
        else:
            self._run(f"CREATE TABLE aside_known AS SELECT {', '.join(FACT)} FROM touched LIMIT 0")
        aside = self.con.table("aside_known")
        return self.con.table("touched"), aside.semi_join(people, "person")

    def judged_as(self, events: ir.Table) -> None:
        """Take these (columns of an event and of FACT, and `reason`) in the place of all that `of_people` gave."""
        self.keyed = False
        self.con.create_table("judged_anew", events.select("subject_id", *FACT, "reason"))
        self._run(
            "CREATE TABLE judged AS FROM judged_anew UNION ALL BY NAME SELECT NULL::BIGINT AS subject_id, *,"
            " 'of others' AS reason FROM aside_known WHERE person NOT IN (SELECT person FROM asked_people)"
        )

    def _keep_drugs(self, drugs: ir.Table | None) -> None:
        if drugs is None:
            self._run("CREATE TABLE drugs_new (drug BIGINT, code VARCHAR, codings VARCHAR[])")
        else:
            self.con.create_table("drugs_new", drugs.select("drug", *CODED))

    def _known(self, name: str, columns: tuple[str, ...], *, like: str | None = None) -> str:
        """What the record keeps of this name, as SQL; nothing, shaped like another table, where it keeps none."""
        path = self.folder / f"{name}.parquet"
        if not self._has(name):
            return f"SELECT {', '.join(columns)} FROM {like or f'{name}_new'} LIMIT 0"
        return f"SELECT {', '.join(columns)} FROM read_parquet({quoted(str(path))})"

    def _touch(self) -> None:
        """The record's rows that what is new touches: `touched` with all columns, `aside` of those set aside before."""
        either = ["pending", *(f"kind = {quoted(kind)}" for kind in self.ways.whole)]
        for column, table in (("key", "replaced_keys"), ("person", "people_changed"), ("drug", "drugs_changed")):
            if self._n(table):
                either.append(f"{column} IN (SELECT {column} FROM {table})")
        self._run(f"CREATE TABLE aside_known AS {self._known('aside', FACT, like='facts_new')}")
        if self.ways.repeats and self._n("aside_known"):
            either.append("key IN (SELECT key FROM aside_known)")
        self._run(
            f"CREATE TABLE touched_origins AS SELECT * FROM stored_origins WHERE ({' OR '.join(either)})"
            " AND row NOT IN (SELECT row FROM void)"
        )
        self._run(f"CREATE TABLE aside AS SELECT * FROM aside_known a WHERE NOT EXISTS ({self._is_replaced('a')})")
        self._touch_by_visits()
        self._fetch("fetched", "SELECT * FROM touched_origins UNION ALL SELECT * FROM other_origins")
        self._run("CREATE VIEW touched AS FROM fetched WHERE row IN (SELECT row FROM touched_origins)")
        self._run(
            "CREATE VIEW waiting AS FROM fetched WHERE visit IN (SELECT visit FROM visits_in_play) AND row NOT IN"
            " (SELECT row FROM touched_origins)"
        )

    def _touch_by_visits(self) -> None:
        """`other_origins`: facts that wait for visits in play, and the visits that facts in play wait for.

        One scan of the record's rows then fetches them all.
        """
        visit = f"kind = {quoted(self.ways.visits)}"
        tables = ("facts_new", "aside", "touched_origins")
        in_play = " UNION ".join(
            f"SELECT key AS visit FROM {table} WHERE {visit} AND key IS NOT NULL" for table in tables
        )
        waits = " UNION ".join(f"SELECT visit FROM {table} WHERE visit IS NOT NULL" for table in tables)
        self._run(f"CREATE TABLE visits_in_play AS {in_play}")
        self._run(f"CREATE TABLE visits_needed AS ({waits}) EXCEPT SELECT visit FROM visits_in_play")
        self._run(
            "CREATE TABLE other_origins AS SELECT * FROM stored_origins WHERE (visit IN (SELECT visit FROM"
            f" visits_in_play) OR ({visit} AND key IN (SELECT visit FROM visits_needed))) AND row NOT IN (SELECT row"
            " FROM void) AND row NOT IN (SELECT row FROM touched_origins)"
        )

    def _is_replaced(self, alias: str) -> str:
        kind = f" AND r.kind = {alias}.kind" if self.ways.by_kind else ""
        return f"SELECT 1 FROM replaced_keys r WHERE r.key = {alias}.key{kind}"

    def _fetch(self, name: str, origins: str) -> None:
        """Rows with their origins. The day of a visit's end is that of its start: a visit is judged by it."""
        values = ", ".join(f"r.{column}" for column in ROWS.names)
        origin = ", ".join(f"o.{column}" for column in ORIGIN_COLUMNS)
        self._run(
            f"CREATE TABLE {name} AS SELECT o.row, {values}, {origin},"
            f" CASE WHEN o.kind = {quoted(self.ways.visits)} THEN min(r.time) OVER"
            f" (PARTITION BY o.kind, o.key, o.person) ELSE r.time END::DATE AS day"
            f" FROM ({origins}) o JOIN stored_rows r ON r.row = o.row"
        )

    def _candidates(self, name: str, *, visits: bool, sources: Iterable[str]) -> None:
        """Facts to be judged, of the new ones, those set aside and these tables of the record's."""
        columns = ", ".join(FACT)
        of_visits = f"kind {'=' if visits else '<>'} {quoted(self.ways.visits)}"
        whole = ", ".join(quoted(kind) for kind in self.ways.whole) or "''"
        parts = [f"SELECT {columns} FROM {table} WHERE {of_visits}" for table in ("facts_new", "aside")]
        parts += [
            f"SELECT {columns} FROM {table} t WHERE {of_visits} AND kind NOT IN ({whole})"
            f" AND NOT EXISTS ({self._is_replaced('t')})"
            for table in sources
        ]
        self._run(f"CREATE TABLE {name} AS {' UNION ALL '.join(parts)}")

    def _late(self, name: str, candidates: str) -> None:
        """Facts with their person, and why they are kept out (`reason`)."""
        values = ", ".join(f"f.{column}" for column in FACT if column not in CODED)
        self._run(
            f"CREATE TABLE {name} AS SELECT p.subject_id, {values},"
            " CASE WHEN f.drug IS NULL THEN f.code ELSE d.code END AS code,"
            " CASE WHEN f.drug IS NULL THEN f.codings ELSE d.codings END AS codings,"
            f" CASE WHEN p.subject_id IS NULL THEN {quoted(NO_SUCH_PERSON)}"
            f" WHEN f.day < p.birth THEN {quoted(BEFORE_BIRTH)}"
            f" WHEN f.day > p.death + INTERVAL {AFTER_DEATH_DAYS} DAY THEN {quoted(LONG_AFTER_DEATH)}"
            " WHEN f.drug IS NOT NULL AND d.code IS NULL THEN 'no code' END AS reason"
            f" FROM {candidates} f LEFT JOIN people_new p ON f.person = p.person"
            " LEFT JOIN drugs_new d ON f.drug = d.drug"
        )

    def _judge_visits(self) -> None:
        """`visits_judged`, and `ends`: when visits had ended that facts in play wait for."""
        self._candidates("visit_candidates", visits=True, sources=("touched",))
        self._late("visits_judged", "visit_candidates")
        ended = f"kind = {quoted(self.ways.visits)} AND starts_with(code, {quoted(VISIT_END)})"
        columns = "key AS visit, subject_id, available_time AS known"
        self._run(
            f"CREATE TABLE ends AS SELECT visit, subject_id, max(known) AS known FROM (SELECT {columns} FROM"
            f" visits_judged WHERE reason IS NULL AND {ended} UNION ALL SELECT {columns} FROM fetched WHERE {ended}"
            " AND row NOT IN (SELECT row FROM touched_origins)) WHERE visit IS NOT NULL GROUP BY ALL"
        )

    def _judge_facts(self) -> None:
        self._candidates("fact_candidates", visits=False, sources=("touched", "waiting"))
        self._late("facts_judged", "fact_candidates")
        values = ", ".join(f"f.{column}" for column in ("subject_id", *FACT, "reason") if column != "available_time")
        self._run(
            f"CREATE TABLE timed AS SELECT {values}, CASE WHEN f.visit IS NULL THEN f.available_time"
            " ELSE greatest(f.own, coalesce(v.known, f.own)) END AS available_time"
            " FROM facts_judged f LEFT JOIN ends v ON f.visit = v.visit AND f.subject_id = v.subject_id"
        )
        self._run("CREATE TABLE judged AS FROM timed UNION ALL BY NAME FROM visits_judged")
        if self.ways.repeats:
            self._without_repeats()
        if self._n("judged WHERE pending"):
            self._without_pending()

    def _without_repeats(self) -> None:
        same = "kind, key, subject_id, time, code, numeric_value, text_value, unit, codings"
        self._run("ALTER TABLE judged RENAME TO judged_all")
        self._run(
            "CREATE TABLE judged AS SELECT * EXCLUDE (nth) REPLACE (CASE WHEN reason IS NULL AND key IS NOT NULL AND"
            f" nth > 1 THEN {quoted(REPEATED)} ELSE reason END AS reason) FROM (SELECT *, row_number() OVER"
            f" (PARTITION BY reason IS NULL, {same} ORDER BY available_time, visit, own) AS nth FROM judged_all)"
        )

    def _without_pending(self) -> None:
        """A preliminary result is set aside where there is a final one of the same thing, person and moment."""
        self._run(
            "CREATE TABLE finals AS SELECT DISTINCT subject_id, code, time FROM judged WHERE reason IS NULL AND"
            " pending IS NOT TRUE UNION SELECT DISTINCT r.subject_id, r.code, r.time FROM stored_rows r"
            " SEMI JOIN (SELECT subject_id, code, time FROM judged WHERE pending) p USING (subject_id, code, time)"
            " WHERE r.row NOT IN (SELECT row FROM void) AND r.row NOT IN (SELECT row FROM touched UNION ALL"
            " SELECT row FROM waiting)"
        )
        self._run("ALTER TABLE judged RENAME TO judged_first")
        self._run(
            "CREATE TABLE judged AS SELECT j.* REPLACE (CASE WHEN j.reason IS NULL AND j.pending AND f.code IS NOT NULL"
            " THEN 'preliminary' ELSE j.reason END AS reason) FROM judged_first j LEFT JOIN finals f ON"
            " j.subject_id = f.subject_id AND j.code = f.code AND j.time = f.time"
        )

    def current(self) -> ir.Table:
        """All facts and visits as they now stand: subject_id, time, available_time; whole kinds are not in it."""
        made = ", ".join(quoted(code) for code in MADE_ANEW)
        self._run(
            "CREATE OR REPLACE VIEW current AS SELECT r.subject_id, r.time, r.available_time FROM stored_rows r WHERE"
            f" r.time IS NOT NULL AND r.code NOT IN ({made}) AND r.row NOT IN (SELECT row FROM void UNION ALL SELECT"
            " row FROM touched UNION ALL SELECT row FROM waiting)"
            " UNION ALL SELECT subject_id, time, available_time FROM judged WHERE reason IS NULL"
        )
        return self.con.table("current")


def _changed(new: str, known: str, *, name: str) -> str:
    """SQL of the values of the column `name` of which rows differ."""
    return f"SELECT DISTINCT {name} FROM ((FROM {new} EXCEPT ({known})) UNION ALL (({known}) EXCEPT FROM {new}))"


def origin_types() -> dict[str, str]:
    """The types of ORIGIN_COLUMNS."""
    return {name: kind for name, kind in fact_types().items() if name in ORIGIN_COLUMNS}


def fact_types() -> dict[str, str]:
    """The types of FACT."""
    return {
        "kind": "string", "key": "int64", "person": "int64", "visit": "int64", "own": "timestamp(6)", "drug": "int64",
        "updated": "timestamp(6)", "version": "int64", "pending": "boolean", "time": "timestamp(6)", "code": "string",
        "numeric_value": "float32", "text_value": "string", "available_time": "timestamp(6)", "unit": "string",
        "codings": "array<string>", "day": "date",
    }  # fmt: skip


def quoted(text: str) -> str:
    """Text as SQL."""
    return "'" + text.replace("'", "''") + "'"
