"""Concepts into codes: `VOCABULARY//CODE`, their names, and their ancestors ('Maps to' counts as one)."""

from __future__ import annotations

from functools import reduce

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from features.codes import canonical_bare
from features.sources.omop.columns import concept, integer, text
from features.sources.omop.files import Cdm

# Concepts that every CDM uses and small extracts leave out of their concept table: ids, vocabularies and codes as in
# OHDSI's standardised vocabularies (https://athena.ohdsi.org), release v5.0 of 2022-04-09.
_EVERYWHERE = (
    (8507, "Gender", "M", "MALE"),
    (8532, "Gender", "F", "FEMALE"),
    (8515, "Race", "2", "Asian"),
    (8516, "Race", "3", "Black or African American"),
    (8522, "Race", "6", "Other Race"),
    (8527, "Race", "5", "White"),
    (8557, "Race", "4", "Native Hawaiian or Other Pacific Islander"),
    (8657, "Race", "1", "American Indian or Alaska Native"),
    (38003563, "Ethnicity", "Hispanic", "Hispanic or Latino"),
    (38003564, "Ethnicity", "Not Hispanic", "Not Hispanic or Latino"),
    (262, "Visit", "ERIP", "Emergency Room and Inpatient Visit"),
    (9201, "Visit", "IP", "Inpatient Visit"),
    (9202, "Visit", "OP", "Outpatient Visit"),
    (9203, "Visit", "ER", "Emergency Room Visit"),
)

# Places of care that visits are often coded with, and the kind of visit above each in OHDSI's hierarchy (an observation
# room is part of an outpatient hospital there). For sources without `concept_ancestor`.
_PLACES = (
    (8717, 9201, "Inpatient Hospital"),
    (8756, 9202, "Outpatient Hospital"),
    (8870, 9203, "Emergency Room - Hospital"),
    (8883, 9202, "Ambulatory Surgical Center"),
    (8940, 9202, "Office"),
    (581385, 9202, "Observation Room"),
    (581477, 9202, "Office Visit"),
    (38004207, 9202, "Ambulatory Clinic / Center"),
)
_VISITS = {number: f"{vocabulary}//{code}" for number, vocabulary, code, _ in _EVERYWHERE if vocabulary == "Visit"}


def visit_kinds(cdm: Cdm) -> ir.Table:
    """Columns place, kind_id, kind: concepts below an inpatient, outpatient or emergency visit, and which of these.

    The source's own hierarchy goes before what is declared here; of several kinds the nearest counts.
    """
    names = ibis.memtable(pa.table({"above": list(_VISITS), "kind": list(_VISITS.values())}))
    declared = ibis.memtable(
        pa.table({name: [row[at] for row in _PLACES] for at, name in enumerate(("place", "above"))})
    )
    places = declared.mutate(levels=ibis.literal(1_000, type="int64"))
    if cdm.has("concept_ancestor"):
        raw = cdm.table("concept_ancestor")
        own = raw.select(
            place=concept(raw, "descendant_concept_id"),
            above=concept(raw, "ancestor_concept_id"),
            levels=integer(raw, "min_levels_of_separation").coalesce(0),
        )
        places = places.union(own.filter(own.above.isin(list(_VISITS)), ~own.place.isin(list(_VISITS))))
    places = places.inner_join(names, "above")
    nearest = ibis.row_number().over(group_by=places.place, order_by=[places.levels, places.above])
    return places.mutate(nearest=nearest).filter(lambda t: t.nearest == 0).select("place", "kind", kind_id="above")


def concepts(cdm: Cdm) -> ir.Table:
    """The concepts of a source: concept_id, code, name, vocabulary and bare_code.

    One row each, without 0 ('no matching concept').
    """
    columns = ("concept_id", "vocabulary", "bare_code", "name")
    rows = [dict(zip(columns, row, strict=True)) for row in _EVERYWHERE]
    known = ibis.memtable(pa.Table.from_pylist(rows)).select("concept_id", "vocabulary", "bare_code", "name")
    resolved = known
    if cdm.has("concept"):
        raw = cdm.table("concept")
        theirs = raw.select(
            concept_id=integer(raw, "concept_id"),
            vocabulary=text(raw, "vocabulary_id"),
            bare_code=text(raw, "concept_code"),
            name=text(raw, "concept_name"),
        )
        theirs = theirs.filter(theirs.concept_id != 0, theirs.vocabulary.notnull(), theirs.bare_code.notnull())
        theirs = theirs.group_by("concept_id").agg(
            vocabulary=theirs.vocabulary.min(), bare_code=theirs.bare_code.min(), name=theirs.name.min()
        )
        resolved = theirs.union(known.anti_join(theirs, "concept_id").select(theirs.columns))
    resolved = resolved.mutate(
        code=resolved.vocabulary + "//" + canonical_bare(resolved.vocabulary, resolved.bare_code)
    )
    return cdm.con.create_table("concepts", resolved, overwrite=True)


def codes_and_ancestors(cdm: Cdm, known: ir.Table, *, used: ir.Table) -> tuple[ir.Table, ir.Table]:
    """The codes that events use, and their ancestors: tables of the shapes CODES and ANCESTORS.

    used: columns code and concept_id (null where nothing resolved). What stands beside a code in one row says nothing
    of that code in another: only concept_relationship's 'Maps to' and concept_ancestor do.
    """
    con = cdm.con
    used = con.create_table("used_codes", used, overwrite=True)
    links = con.create_table("maps_to", _links(cdm), overwrite=True)
    targets = used.select("code", target=used.concept_id).union(
        used.join(links, used.concept_id == links.concept_id).select(used.code, links.target)
    )
    targets = con.create_table("targets", targets.filter(targets.target.notnull()).distinct(), overwrite=True)
    mapped = targets.join(used, "code").filter(lambda t: t.target != t.concept_id)
    pairs = [mapped.select("code", ancestor_id=mapped.target, direct=ibis.literal(True))]
    if cdm.has("concept_ancestor"):
        raw = cdm.table("concept_ancestor")
        above = raw.select(
            ancestor_id=concept(raw, "ancestor_concept_id"),
            target=concept(raw, "descendant_concept_id"),
            levels=integer(raw, "min_levels_of_separation"),
        )
        above = above.filter(above.ancestor_id != above.target)
        above = targets.join(above, "target").select("code", "ancestor_id", "levels")
        pairs.append(above.select("code", "ancestor_id", direct=above.levels.fill_null(0) == 1))
    named = _named(reduce(lambda left, right: left.union(right), pairs), known)
    named = con.create_table("ancestors_named", named, overwrite=True)
    parents = (
        named.filter(named.direct)
        .group_by("code")
        .agg(parent_codes=lambda t: t.ancestor.collect(order_by=t.ancestor, distinct=True))
    )
    names = used.join(known, used.concept_id == known.concept_id).select(used.code, description=known.name)
    codes = used.select("code").distinct().left_join(names.distinct(), "code").drop("code_right")
    codes = codes.left_join(parents, "code").select(codes.code, codes.description, parents.parent_codes)
    return codes.order_by("code"), named.select("code", "ancestor").distinct().order_by("code", "ancestor")


def _links(cdm: Cdm) -> ir.Table:
    """Columns concept_id, target: source concept to the standard concept it maps to."""
    if not cdm.has("concept_relationship"):
        return ibis.memtable(pa.table({"concept_id": pa.array([], pa.int64()), "target": pa.array([], pa.int64())}))
    raw = cdm.table("concept_relationship")
    maps = raw.select(
        concept_id=concept(raw, "concept_id_1"),
        target=concept(raw, "concept_id_2"),
        relationship=text(raw, "relationship_id"),
        invalid=text(raw, "invalid_reason"),
    )
    maps = maps.filter(maps.relationship == "Maps to", maps.invalid.isnull(), maps.concept_id != maps.target)
    return maps.select("concept_id", "target").distinct()


def _named(pairs: ir.Table, known: ir.Table) -> ir.Table:
    """Ancestors by code; one that the concept table does not hold survives as `OMOP//<concept_id>`."""
    named = pairs.left_join(known, pairs.ancestor_id == known.concept_id).select(
        pairs.code,
        ancestor=ibis.coalesce(known.code, "OMOP//" + pairs.ancestor_id.cast("string")),
        direct=pairs.direct,
    )
    return named.filter(named.ancestor != named.code).distinct()
