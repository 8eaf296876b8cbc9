"""Rows of a clinical table checked and mapped to events, as Ibis expressions."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from features.codes import ANSWER
from features.sources.checks import (
    BAD_NUMBER,
    LONGEST_SUPPLY_DAYS,
    NEGATIVE_SUPPLY,
    NO_CODINGS,
    NO_CONCEPT,
    REFILLS_CUT,
    TIMESTAMP,
    key_number,
    moment,
    person_and_date_reasons,
    row_as_text,
)
from features.sources.numbers import NUMBER_AS_TEXT
from features.sources.omop import columns as c
from features.sources.omop.cdm import ClinicalTable
from features.sources.omop.said import number_text

# operator_concept_id of the CDM: the number is a bound. Its text, as FHIR's comparator is; `=` (4172703) says nothing.
NO_CONCEPTS, NO_CODE = (4188540, 45878245), "SNOMED//373067005"  # "No", where the source's concept table lacks it
OPERATORS = {4171756: "<", 4171754: "<=", 4171755: ">=", 4172704: ">"}


@dataclass(frozen=True, slots=True)
class World:
    """The persons, visits and concepts that rows are checked against.

    persons: person_key, subject_id, birth (date), death (date). visits: visit_id, visit_subject, visit_known. concepts:
    concept_id, code, name, vocabulary, bare_code.
    """

    persons: ir.Table
    visits: ir.Table | None
    concepts: ir.Table
    person_key: c.Key


def with_person(rows: ir.Table, world: World) -> ir.Table:
    """Rows (with person_key) joined to their person: subject_id, birth and death, null where there is
    no such person.
    """
    return rows.left_join(world.persons, "person_key").drop("person_key_right")


@dataclass(frozen=True, slots=True)
class Said:
    """What a table's words say: `numbers` of its texts, ingredients of `drugs` by their names; None where nothing."""

    numbers: ir.Table | None = None
    drugs: ir.Table | None = None


def clinical_rows(raw: ir.Table, spec: ClinicalTable, *, world: World, said: Said) -> ir.Table:
    """Every row of a clinical table, mapped, with `reason` (null: it is an event) and notes.

    Columns: those of an event and its origin, source_row, row_key, concept_id and standard_id (of its code), usable
    (whether its reason, if any, may be another row's), reason, mended, notes.
    """
    rows = with_person(_with_words(_typed(raw, spec, world=world), said), world)
    rows = _with_visit(rows, world)
    rows = _with_codes(rows, spec, world=world)
    reasons = [
        *person_and_date_reasons(rows),
        (rows.code.isnull(), NO_CONCEPT),
        (rows.negative, NEGATIVE_SUPPLY),
    ]
    known, waits = rows.known, spec.known == "at the end of its visit"
    if waits:
        known = ibis.greatest(rows.known, ibis.coalesce(rows.visit_known, rows.known))
    visit = key_number(rows.visit_key) if waits else ibis.null("int64")
    return rows.select(
        "subject_id",
        "time",
        "code",
        "numeric_value",
        "text_value",
        "unit",
        "source_row",
        "row_key",
        "concept_id",
        "standard_id",
        key=key_number(rows.row_key),
        person=key_number(rows.person_key),
        visit=visit,
        own=ibis.ifelse(visit.notnull(), rows.known, ibis.null(TIMESTAMP)),
        usable=rows.person_key.notnull() & rows.day.notnull() & rows.code.notnull() & ~rows.negative,
        available_time=known,
        codings=_with_ingredients(codings_of(rows.beside, rows.coded_answer), rows.by_name),
        reason=ibis.cases(*reasons, else_=ibis.null("string")),
        mended=ibis.cases(
            (rows.from_text, NUMBER_AS_TEXT),
            (rows.bad_number, BAD_NUMBER),
            (rows.cut, REFILLS_CUT),
            else_=ibis.null("string"),
        ),
        note_by_name=rows.by_name.notnull(),
        note_after_death=(rows.day > rows.death).fill_null(False),
        note_concept=rows.source_resolved.isnull() & rows.standard_resolved.isnull(),
        note_standard=rows.standard_resolved.isnull(),
        note_bound=rows.bound,
        note_visit=rows.visit_key.notnull() & rows.visit_known.isnull() & ~rows.visit_found,
    )


def _typed(raw: ir.Table, spec: ClinicalTable, *, world: World) -> ir.Table:
    date, stamp = (c.day(raw, spec.start[0]), c.clock(raw, spec.start[1]))
    when = moment(date, stamp)
    number = c.number(raw, spec.number) if spec.number else ibis.null("float32")
    bad_number = c.has_value(raw, *filter(None, [spec.number])) & number.isnull()
    negative, cut = ibis.literal(False), ibis.literal(False)
    if spec.number == "days_supply":
        # OHDSI drops a negative supply (github.com/OHDSI/CommonDataModel, issue 625); 0 says unknown.
        negative = (number < 0).fill_null(False)
        days, refills = ibis.ifelse(number > 0, number, ibis.null("float32")), c.number(raw, "refills")
        number, cut = _with_refills(days, refills)
    return raw.select(
        source_row=row_as_text(raw),
        row_key=c.key(raw, spec.key),
        person_key=world.person_key(raw, "person_id"),
        visit_key=c.key(raw, "visit_occurrence_id"),
        standard=c.concept(raw, f"{spec.stem}_concept_id"),
        source=c.concept(raw, f"{spec.stem}_source_concept_id"),
        source_value=c.text(raw, f"{spec.stem}_source_value"),
        day=when.time.cast("date"),
        dated=c.has_value(raw, *spec.start),
        time=when.time,
        known=when.known,
        numeric_value=number,
        bad_number=bad_number,
        negative=negative,
        cut=cut,
        as_text=number_text(raw, spec, number),
        text=c.text(raw, "value_as_string") if spec.has_value else ibis.null("string"),
        written=c.text(raw, "value_source_value") if spec.has_value else ibis.null("string"),
        operator=c.concept(raw, "operator_concept_id") if spec.has_value else ibis.null("int64"),
        value_concept=c.concept(raw, "value_as_concept_id") if spec.has_value else ibis.null("int64"),
        unit_concept=c.concept(raw, "unit_concept_id") if spec.has_value else ibis.null("int64"),
        unit_text=c.text(raw, "unit_source_value") if spec.has_value else ibis.null("string"),
    )


def _with_refills(days: ir.FloatingValue, refills: ir.FloatingValue) -> tuple[ir.FloatingValue, ir.BooleanValue]:
    """Days of supply of a prescription with as many of its refills as end within two years; whether some do not."""
    asked = 1 + ibis.greatest(refills.fill_null(0), 0)
    fit = ibis.greatest((LONGEST_SUPPLY_DAYS / days.cast("float64")).floor(), 1)
    return (days * ibis.least(asked, fit)).cast("float32"), (asked > fit).fill_null(False)


def _with_words(rows: ir.Table, said: Said) -> ir.Table:
    """With the number, sign and unit that a row's text says, and the ingredients that its drug's name says."""
    if said.numbers is None:
        rows = rows.mutate(sign=ibis.null("string"), said_unit=ibis.null("string"), from_text=False)
    else:
        rows = rows.left_join(said.numbers, "as_text").drop("as_text_right")
        from_text = rows.said.notnull()
        number = ibis.ifelse(from_text, rows.said.cast("float32"), rows.numeric_value)
        # Where the value as a string was the number, it says nothing beyond it.
        own = ibis.ifelse(from_text & (rows.text == rows.as_text), ibis.null("string"), rows.text)
        rows = rows.mutate(numeric_value=number, text=own, from_text=from_text).drop("said")
    if said.drugs is None:
        return rows.mutate(by_name=NO_CODINGS)
    drugs = said.drugs
    keys = [
        rows.source.fill_null(0) == drugs.source_key,
        rows.standard.fill_null(0) == drugs.standard_key,
        rows.source_value.fill_null("") == drugs.value_key,
    ]
    return rows.left_join(drugs, keys).drop("source_key", "standard_key", "value_key")


def _with_ingredients(codings: ir.ArrayValue, by_name: ir.ArrayValue) -> ir.ArrayValue:
    together = ibis.ifelse(codings.isnull(), by_name, codings.concat(by_name).sort())
    return ibis.ifelse(by_name.isnull(), codings, together)


def _with_visit(rows: ir.Table, world: World) -> ir.Table:
    if world.visits is None:
        return rows.mutate(visit_known=ibis.null(TIMESTAMP), visit_found=False)
    visits = world.visits
    if visits.visit_id.type() != rows.visit_key.type():
        visits = visits.mutate(visit_id=visits.visit_id.cast("string"))
        rows = rows.mutate(visit_key=rows.visit_key.cast("string"))
    joined = rows.left_join(visits, [rows.visit_key == visits.visit_id, rows.subject_id == visits.visit_subject])
    return joined.drop("visit_subject").mutate(visit_found=joined.visit_id.notnull()).drop("visit_id")


def _with_codes(rows: ir.Table, spec: ClinicalTable, *, world: World) -> ir.Table:
    """The source concept's code where it resolves, else the standard one's, else what is left of it."""
    known = world.concepts
    source = known.select(source_resolved=known.concept_id, source_code=known.code)
    standard = known.select(standard_resolved=known.concept_id, standard_code=known.code)
    rows = rows.left_join(source, rows.source == source.source_resolved)
    rows = rows.left_join(standard, rows.standard == standard.standard_resolved)
    unresolved = ibis.coalesce(rows.standard, rows.source)
    rows = rows.mutate(
        code=ibis.coalesce(
            rows.source_code,
            rows.standard_code,
            "OMOP//" + unresolved.cast("string"),
            f"Source/{spec.stem}//" + rows.source_value,
        ),
        concept_id=ibis.coalesce(rows.source_resolved, rows.standard_resolved, unresolved),
        standard_id=rows.standard,
        beside=ibis.ifelse(
            rows.source_code.notnull() & (rows.standard_code != rows.source_code), rows.standard_code, None
        ),
    )
    if not spec.has_value:
        unit = ibis.literal(spec.number_unit).cast("string") if spec.number_unit else ibis.null("string")
        unit = ibis.ifelse(rows.numeric_value.notnull(), unit, ibis.null("string"))
        return rows.mutate(bound=False, text_value=ibis.null("string"), unit=unit, coded_answer=ibis.null("string"))
    units = known.filter(known.vocabulary == "UCUM")
    units = units.select(unit_resolved=units.concept_id, ucum=units.bare_code)
    values = known.select(value_resolved=known.concept_id, value_name=known.name, value_code=known.code)
    rows = rows.left_join(units, rows.unit_concept == units.unit_resolved)
    rows = rows.left_join(values, rows.value_concept == values.value_resolved)
    answer = ibis.coalesce(rows.value_name, "OMOP//" + rows.value_concept.cast("string"))
    # A value as the source wrote it only repeats the number where there is one.
    written = ibis.ifelse(rows.numeric_value.isnull(), rows.written, ibis.null("string"))
    bound = ibis.cases(
        *((rows.operator == concept_id, sign) for concept_id, sign in OPERATORS.items()), else_=ibis.null("string")
    )
    bound = ibis.ifelse(rows.numeric_value.notnull(), ibis.coalesce(rows.sign, bound), ibis.null("string"))
    return rows.mutate(
        bound=bound.notnull(),
        coded_answer=ANSWER
        + ibis.coalesce(rows.value_code, ibis.ifelse(rows.value_concept.isin(NO_CONCEPTS), NO_CODE, None)),
        text_value=ibis.coalesce(rows.text, bound, answer, written),
        unit=ibis.coalesce(rows.ucum, rows.unit_text, rows.said_unit),
    )


def codings_of(beside: ir.StringValue, answer: ir.StringValue) -> ir.ArrayValue:
    """The other codings of a fact, sorted; null where there is none."""
    pair = ibis.array([ibis.least(beside, answer), ibis.greatest(beside, answer)])
    single = ibis.array([ibis.coalesce(beside, answer)])
    return ibis.cases(
        (beside.notnull() & answer.notnull(), pair),
        (beside.notnull() | answer.notnull(), single),
        else_=NO_CODINGS,
    )
