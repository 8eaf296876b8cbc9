"""What an OMOP source says in words alone: drugs by their names, and numbers that it wrote as text."""

from __future__ import annotations

from functools import cache
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from features.codes import shipped_codes
from features.sources.drugs import by_name
from features.sources.numbers import number_like, numbers_of
from features.sources.omop import columns as c
from features.sources.omop.cdm import ClinicalTable
from features.sources.omop.files import Cdm
from features.vocabulary import ancestors_of_codes

DRUGS = pa.schema([
    ("source_key", pa.int64()), ("standard_key", pa.int64()), ("value_key", pa.string()),
    ("by_name", pa.list_(pa.string())),
])  # fmt: skip


def number_text(raw: ir.Table, spec: ClinicalTable, number: ir.FloatingValue) -> ir.StringValue:
    """The text of a row that may be its number, where it has none: what stands in the column of numbers, else the value
    as a string, else as the source wrote it. A value that is a concept is no number.
    """
    if not (spec.has_value and spec.number):
        return ibis.null("string")
    concept = c.concept(raw, "value_as_concept_id")
    # A column of numbers holds no text; writing each number out to see that would cost more than reading it.
    typed = spec.number in raw.columns and raw[spec.number].type().is_numeric()
    own = ibis.null("string") if typed else number_like(c.text(raw, spec.number))
    others = ibis.coalesce(number_like(c.text(raw, "value_as_string")), number_like(c.text(raw, "value_source_value")))
    return ibis.ifelse(number.isnull(), ibis.coalesce(own, ibis.ifelse(concept.isnull(), others, None)), None)


def numbers(cdm: Cdm, raw: ir.Table, spec: ClinicalTable) -> ir.Table | None:
    """The texts of a table that say a number, each with its number, sign and unit; None where there are none."""
    if not (spec.has_value and spec.number):
        return None
    texts = raw.select(text=number_text(raw, spec, c.number(raw, spec.number))).distinct()
    return _kept(cdm, f"{spec.name}_numbers", numbers_of(cdm.con.to_pyarrow(texts)["text"].to_pylist()))


def drugs(cdm: Cdm, raw: ir.Table, known: ir.Table) -> ir.Table | None:
    """The drugs of a table whose codes no list knows, neither themselves nor by what stands above them, with the
    ingredients that their concepts' names and the source's own word for them say; None where there are none.
    """
    rows = raw.select(
        source_key=c.concept(raw, "drug_source_concept_id").fill_null(0),
        standard_key=c.concept(raw, "drug_concept_id").fill_null(0),
        value_key=c.text(raw, "drug_source_value").fill_null(""),
    ).distinct()
    for kind in ("source", "standard"):
        theirs = known.select(
            **{f"{kind}_id": known.concept_id, f"{kind}_code": known.code, f"{kind}_name": known.name}
        )
        rows = rows.left_join(theirs, rows[f"{kind}_key"] == theirs[f"{kind}_id"])
    named = []
    table = cdm.con.to_pyarrow(rows).to_pylist()
    unknown = [row for row in table if not (_read(row["source_code"]) or _read(row["standard_code"]))]
    read = _read_by_ancestors(cdm, unknown, known)
    for row in unknown:
        if {row["source_key"], row["standard_key"]} & read:
            continue
        found = by_name((), (row["standard_name"], row["source_name"], row["value_key"]))
        if found:
            named.append({**{key: row[key] for key in DRUGS.names[:3]}, "by_name": list(found)})
    return _kept(cdm, "drugs_by_name", pa.Table.from_pylist(named, DRUGS))


def _kept(cdm: Cdm, name: str, table: pa.Table) -> ir.Table | None:
    return cdm.con.create_table(name, table, overwrite=True) if table.num_rows else None


def _read(code: str | None) -> bool:
    return code is not None and (code.startswith("ATC//") or code in _listed())


@cache
def _listed() -> frozenset[str]:
    return frozenset(f"RxNorm//{code.code}" for code in shipped_codes() if code.vocabulary == "RxNorm")


def _read_by_ancestors(cdm: Cdm, unknown: list[dict[str, Any]], known: ir.Table) -> set[int]:
    """The concepts above which stands a drug that a list knows, in the source's vocabulary or in a loaded one."""
    pairs = ((row[f"{kind}_code"], row[f"{kind}_key"]) for row in unknown for kind in ("source", "standard"))
    codes: dict[str, int] = {code: key for code, key in pairs if code}
    above = ancestors_of_codes(codes)
    is_drug = pc.or_(
        pc.starts_with(above["ancestor"], "ATC//"), pc.is_in(above["ancestor"], pa.array(sorted(_listed())))
    )
    read = {codes[code] for code in above.filter(is_drug)["code"].to_pylist()}
    if not codes or not cdm.has("concept_ancestor"):
        return read
    asked = pa.table({"concept_id": pa.array(sorted(codes.values()), pa.int64())})
    wanted = cdm.con.create_table("drugs_asked", asked, overwrite=True)
    listed = known.filter(known.code.isin(sorted(_listed())) | (known.vocabulary == "ATC")).select("concept_id")
    raw = cdm.table("concept_ancestor")
    links = raw.select(above=c.concept(raw, "ancestor_concept_id"), below=c.concept(raw, "descendant_concept_id"))
    links = links.semi_join(wanted, links.below == wanted.concept_id)
    found = links.semi_join(listed, links.above == listed.concept_id).select("below").distinct()
    return read | set(cdm.con.to_pyarrow(found)["below"].to_pylist())
