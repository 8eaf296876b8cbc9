"""What the record keeps of a FHIR source for updates: people, coverage, names and medications, and versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from features.errors import PresageError
from features.sources.checks import key_number
from features.sources.fhir.extract import DELETED, SCHEMAS, Extract
from features.sources.fhir.reading import Log
from features.sources.fhir.servers import Servers
from features.sources.fhir.whose import at_home
from features.sources.judging import WHOLE
from features.sources.updates import Update

# Types that are kept whole: others are checked against them, or events are made anew from them.
SMALL = ("Patient", "Coverage", "Medication", "Organization", "Practitioner")
# Flat tables that are kept of those; the facts of other types are in the record, with their versions.
FLAT = ("patients", "statics", "aliases", "links", "coverages", "medications", "names")
STANDS = "stands in the record"


def servers_of(update: Update) -> Servers:
    """What the readings before said of the source's servers."""
    said = update.said["servers"]
    return Servers(dict(said["patients"]), said["bare"], set(said["meant"]), said["relative"])


def check_servers(update: Update, servers: Servers, home: str | None) -> None:
    """Raise PresageError where, with the update, ids without a server would mean others than before."""
    several = len(servers.in_play(home)) > 1
    if (home, several) != (update.said["home"], update.said["several"]):
        raise PresageError(
            str(update.space.origin),
            "resources of the servers that the record's are of",
            found="patients or references of others",
            way_out=WHOLE,
        )


def kept_flat(update: Update, extracted: Extract) -> dict[str, ir.Table]:
    """The kept rows of the flat tables, numbered as read before the update's, and a row for each resource of the update
    that the record has facts of: it stands for the version that they are of.
    """
    con = update.con
    resources = update.must_keep("resources")
    top = int(con.to_pyarrow(resources.seq.max().fill_null(-1)).as_py()) + 1
    tables = {}
    for name in FLAT:
        rows = update.kept(name)
        if rows is not None:
            tables[name] = rows.mutate(seq=rows.seq - top)
    resources = resources.mutate(seq=resources.seq - top, holder=ibis.null("int64"))
    new = con.read_parquet(str(extracted.path("resources")))
    if update.said["home"] is not None:
        new = new.mutate(key=at_home(new.key, update.said["home"]))
    new = new.filter(new.key.notnull()).select("kind", "key").distinct()
    versions = update.versions(new.mutate(number=key_number(new.key)))
    nothing = {
        name: ibis.null("bool" if name == "deleted" else "string")
        for name in ("id", "server", "person", "note", "deleted")
    }
    known = versions.mutate(
        **nothing,
        seq=(-ibis.row_number().over(order_by=versions.key) - top - 1).cast("int64"),
        holder=ibis.null("int64"),
        updated=versions.updated.cast("string") + "+00",
        version=versions.version.cast("string"),
        reason=ibis.literal(STANDS),
    )
    tables["resources"] = resources.union(known.select(resources.columns).cast(resources.schema()))
    return tables


def kept_tables(flat: Mapping[str, ir.Table], unique: ir.Table, *, facts: ir.Table) -> dict[str, ir.Table]:
    """The newest versions of what is kept whole, of resources that give no fact, and of what was deleted."""
    with_facts = facts.select("key").distinct()
    newest = unique.filter(unique.newest, unique.key.notnull(), unique.reason.fill_null("") != STANDS)
    newest = newest.mutate(number=key_number(newest.key)).anti_join(with_facts, [("number", "key")])
    rows = flat["resources"].semi_join(newest, "seq").select(SCHEMAS["resources"].names)
    tables = {"resources": rows}
    small = newest.filter(newest.kind.isin(SMALL), newest.reason.fill_null("") != DELETED)
    for name in FLAT:
        tables[name] = flat[name].semi_join(small, "seq")
    return tables


def said_of(servers: Servers, home: str | None, log: Log) -> dict[str, Any]:
    """A few words about the source."""
    return {
        "home": home,
        "several": len(servers.in_play(home)) > 1,
        "transaction_time": log.transaction_time,
        "servers": {
            "patients": servers.patients,
            "bare": servers.bare,
            "meant": sorted(servers.meant),
            "relative": servers.relative,
        },
    }
