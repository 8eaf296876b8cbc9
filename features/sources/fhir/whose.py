"""Whom each resource of a FHIR source is about, by the keys of references: the people, the lost, the replaced."""

from __future__ import annotations

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from features.sources.checks import TIMESTAMP, key_number
from features.sources.fhir.extract import SCHEMAS, Extract
from features.sources.fhir.servers import (
    OTHER_SERVER,
    REPLACED_BY,
    SEVERAL_CALLED,
    SEVERAL_PEOPLE,
    WHICH_SERVER,
    survivors,
)

OTHER_THAN_CONTAINER = "contained in a resource about another person"
# The columns of the flat tables that are keys of resources, and the tables that have them as such.
KEYS = {
    "key": ("resources",),
    "person": ("resources",),
    "called": ("aliases",),
    "encounter": ("facts",),
    "medication": ("facts",),
    "replaced": ("links",),
    "by": ("links",),
    "id": ("medications", "names"),
    "care_site": ("patients",),
    "provider": ("patients",),
}


class Whose:
    """The flat tables of a source, every key in them with its server, and whom its resources are about.

    home: the server that everything is of that does not say one. several: whether there are patients of several.
    """

    def __init__(
        self, con: Backend, extracted: Extract, *, exported_from: str | None, kept: Mapping[str, ir.Table] | None = None
    ) -> None:
        self.con, self.extracted, self.kept = con, extracted, kept or {}
        self.home = extracted.servers.home(exported_from)
        self.several = len(extracted.servers.in_play(self.home)) > 1
        self.flat = {name: self._read(name) for name in SCHEMAS}

    def _read(self, name: str) -> ir.Table:
        """A flat table, its keys with the server that is theirs where they do not say one."""
        rows = self.con.read_parquet(str(self.extracted.path(name)), table_name=f"flat_{name}")
        if name in self.kept:
            rows = rows.union(self.kept[name].select(rows.columns).cast(rows.schema()))
        if self.home is None:
            return rows
        keys = [column for column in KEYS if column in rows.columns]
        rows = rows.mutate(**{column: at_home(rows[column], self.home) for column in keys if name in KEYS[column]})
        return rows.mutate(server=rows.server.fill_null(self.home)) if "server" in rows.columns else rows

    def with_source_id(self, patients: ir.Table) -> ir.Table:
        """With `source_id`: the id, of several servers' patients with the server's address as it is written."""
        if not self.several:
            return patients.mutate(source_id=patients.id)
        bases = {server: f"{base}/Patient/" for server, base in self.extracted.servers.patients.items()}
        named = ibis.memtable({"named": list(bases), "base": list(bases.values())})
        rows = patients.left_join(named, patients.server == named.named)
        return rows.mutate(source_id=rows.base.fill_null("") + rows.id).drop("named", "base")

    def replaced(self, unique: ir.Table) -> ir.Table:
        """Which patient stands in the place of which: replaced, by (keys); links may give a patient's identifier."""
        patients = unique.filter(unique.kind == "Patient", unique.reason.isnull(), unique.key.notnull())
        said = self.flat["links"].semi_join(patients, "seq").select("replaced", "by").distinct()
        links = sorted((row["replaced"], row["by"]) for row in self.con.to_pyarrow(said).to_pylist())
        asked = ibis.memtable({"asked": sorted({one for link in links for one in link})}, schema={"asked": "string"})
        aliases = self.flat["aliases"].join(patients.select("seq", "key"), "seq")
        found = asked.join(aliases, asked.asked == aliases.called).select("asked", "key").distinct()
        meant: dict[str, set[str]] = {}
        for row in self.con.to_pyarrow(found).to_pylist() if links else []:
            meant.setdefault(row["asked"], set()).add(row["key"])
        means = {asked: next(iter(keys)) for asked, keys in meant.items() if len(keys) == 1}
        ends = survivors(
            ((means.get(one, one), means.get(other, other)) for one, other in links), frozenset(means.values())
        )
        columns = {"replaced": list(ends), "by": list(ends.values())}
        return self.con.create_table(
            "replaced", pa.table(columns, pa.schema([(name, pa.string()) for name in columns]))
        )

    def without_contradicted(self, unique: ir.Table) -> ir.Table:
        """Patients whose id is that of several people are set aside, all of them: an id of two people is nobody's."""
        keys = sorted(_at_home_text(key, self.home) for key in self.extracted.servers.contradicted())
        if not keys:
            return unique
        several = (unique.kind == "Patient") & unique.key.isin(keys)
        reason = ibis.ifelse(several.fill_null(False), ibis.literal(SEVERAL_CALLED), unique.reason)
        return self.con.create_table("without_contradicted", unique.mutate(reason=reason))

    def without_replaced(self, unique: ir.Table, replaced: ir.Table) -> ir.Table:
        """Patients in whose place another stands are set aside, and whatever a resource that is set aside contains."""
        if not self.extracted.linked and not self.extracted.contained.total():
            return unique
        rows = unique.left_join(replaced, unique.key == replaced.replaced)
        gone = (rows.kind == "Patient") & rows.by.notnull()
        rows = rows.mutate(reason=ibis.coalesce(rows.reason, ibis.ifelse(gone, REPLACED_BY, ibis.null("string"))))
        rows = self.con.create_table("without_replaced", rows.drop("replaced", "by"))
        if not self.extracted.contained.total():
            return rows
        holders = rows.filter(rows.reason.notnull()).select(held_by=rows.seq, held_reason=rows.reason)
        rows = rows.left_join(holders, rows.holder == holders.held_by)
        rows = rows.mutate(reason=ibis.coalesce(rows.reason, rows.held_reason)).drop("held_by", "held_reason")
        return self.con.create_table("without_held", rows)

    def with_people(self, unique: ir.Table, patients: ir.Table, *, replaced: ir.Table) -> ir.Table:
        """Resources that are still in, with their person: subject_id, birth, death; lost: why they have none."""
        # Whom an older version of a patient was called after is nobody any more.
        stands = unique.reason.isnull() | (unique.reason == REPLACED_BY)
        keys = unique.filter(unique.kind == "Patient", stands).select("seq", "key")
        names = self.flat["aliases"].join(keys, "seq").select("called", "key")
        ends = replaced.select(old=replaced.replaced, new=replaced.by)
        names = names.left_join(ends, names.key == ends.old)
        names = names.select("called", key=ibis.coalesce(names.new, names.key))
        # A patient that the source lacks may be said to be replaced by one it has.
        names = self.con.create_table("called", names.union(ends.select(called=ends.old, key=ends.new)))
        names = names.join(patients.select("key", "subject_id", "birth", "death"), "key")
        names = names.group_by("called").agg(
            people=names.subject_id.nunique(),
            subject_id=names.subject_id.min(),
            birth=names.birth.min(),
            death=names.death.min(),
        )
        self.called = self.con.create_table("people_called", names)
        names = self.called
        rows = unique.filter(unique.reason.isnull(), unique.kind != "Patient")
        rows = rows.left_join(names, rows.person == names.called).drop("called", "reason")
        one = (rows.people == 1).fill_null(False)
        rows = rows.mutate(
            lost=self._lost(rows),
            **{
                name: ibis.ifelse(one, rows[name], ibis.null(rows[name].type()))
                for name in ("subject_id", "birth", "death")
            },
        )
        # Only visits are looked for by their key afterwards; everybody else's keys would be written for nothing.
        key = ibis.ifelse(rows.kind == "Encounter", rows.key, ibis.null("string"))
        rows = rows.select(
            "seq",
            "kind",
            "holder",
            "note",
            "lost",
            "subject_id",
            "birth",
            "death",
            key=key,
            person_key=rows.person,
            resource=key_number(rows.key),
            updated=rows.updated.try_cast("timestamp('UTC')").cast(TIMESTAMP),
            version=rows.version.try_cast("int64"),
        )
        rows = self.con.create_table("with_people", rows)
        return rows if not self.extracted.contained.total() else self._with_containers(rows)

    def _lost(self, rows: ir.Table) -> ir.StringValue:
        """Why a reference means nobody, where its server is the reason."""
        servers = sorted(self.extracted.servers.in_play(self.home))
        says = rows.person.startswith("//")
        bare = ~says & ~rows.person.contains("?identifier:")
        ours = rows.person.re_replace("/[^/]*/[^/]*$", "").isin(servers)
        nobody_bare = self.several and "" not in servers
        return ibis.cases(
            ((rows.people > 1).fill_null(False), SEVERAL_PEOPLE),
            (rows.people.isnull() & says & ~ours & rows.person.contains("/Patient/"), OTHER_SERVER),
            (rows.people.isnull() & bare & ibis.literal(nobody_bare), WHICH_SERVER),
            else_=ibis.null("string"),
        )

    def _with_containers(self, rows: ir.Table) -> ir.Table:
        """What another resource contains is about the same person, or it is nobody's."""
        containers = rows.filter(rows.holder.isnull()).select(held_by=rows.seq, their_subject=rows.subject_id)
        rows = rows.left_join(containers, rows.holder == containers.held_by)
        other = rows.holder.notnull() & rows.subject_id.notnull() & (rows.subject_id != rows.their_subject)
        lost = ibis.ifelse(other.fill_null(False), ibis.literal(OTHER_THAN_CONTAINER), ibis.null("string"))
        rows = rows.mutate(lost=ibis.coalesce(rows.lost, lost)).drop("held_by", "their_subject")
        return self.con.create_table("with_containers", rows)

    def names(self, unique: ir.Table) -> ir.Table:
        """Names of organizations and practitioners: id (a key), label; several servers' with the system beside them."""
        names = self.flat["names"].semi_join(unique.filter(unique.reason.isnull()), "seq")
        return names.select("id", label=names.whole if self.several else names.label)


def at_home(key: ir.StringValue, home: str) -> ir.StringValue:
    """A key of the home server where it says none; a logical one stays as it is."""
    bare = ~key.startswith("//") & ~key.contains("?identifier:")
    return ibis.ifelse(bare, ibis.literal(f"{home}/") + key, key)


def _at_home_text(key: str, home: str | None) -> str:
    return key if home is None or key.startswith("//") or "?identifier:" in key else f"{home}/{key}"


def own_name(key: ir.StringValue, *, several: bool) -> ir.StringValue:
    """What a key says of a resource that is not in the source: its id, of several servers' with the server."""
    logical = key.contains("?identifier:")
    named = key.re_replace(r"^[A-Za-z]+\?", "")
    return ibis.ifelse(logical, named, key.re_replace("^//", "") if several else key.re_extract(r"([^/]*)$", 1))
