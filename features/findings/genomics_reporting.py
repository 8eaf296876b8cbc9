"""Reports in HL7's Genomics Reporting guide (STU 2 and 3): DiagnosticReport, variants, implications, what was studied.

Only germline variants that a report holds become findings. Where a variant does not say whether it is germline, a
stated zygosity is taken as saying so; with neither, it is set aside, since tumour reports look the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from features.findings import vocabulary
from features.findings.fhir_resources import (
    Resource,
    Scope,
    codes,
    component,
    components,
    contained,
    extensions,
    has_code,
    items,
    profiles,
    scopes,
    words,
)
from features.findings.genes import Gene, GeneUnclearError, mondo, resolve
from features.findings.reports import Covered, Finding, Problem, Report, first_moment, moment

REPORT = "51969-4"  # LOINC: genetic analysis report
VARIANT = "69548-6"
GENE = "48018-6"
CODING_HGVS, GENOMIC_HGVS, PROTEIN_HGVS, VARIATION = "48004-6", "81290-9", "48005-3", "81252-9"
TRANSCRIPT = "51958-7"
SIGNIFICANCE = "53037-8"
CONDITION = "81259-4"
ALLELIC_STATE = "53034-5"
SOURCE_CLASS = "48002-0"
REGION_STUDIED = "53041-0"
REGION_WORDS = "81293-3"
ABSENT, NO_CALL, INDETERMINATE = "LA9634-2", "LA18198-4", "LA11884-6"


def read(documents: Iterable[tuple[str, Resource]]) -> Iterator[Report | Problem]:
    """Yield every genomics report of the documents, and a problem with its reason for each part that was not
    understood.

    documents: pairs of the place a document was read from, for messages, and its parsed JSON.
    """
    for scope in scopes(documents):
        yield from _read_scope(scope)


def _read_scope(scope: Scope) -> Iterator[Report | Problem]:
    reported: set[int] = set()
    for resource in scope.of_type("DiagnosticReport"):
        where = scope.origin[id(resource)]
        if not _is_genomic(resource):
            yield Problem("not a genomics report", where)
            continue
        observations = _observations(scope, resource)
        reported.update(id(observation) for observation in observations)
        yield from _read_report(scope, resource, observations=observations, where=where)
    for observation in scope.of_type("Observation"):
        if _is_variant(observation) and id(observation) not in reported:
            yield Problem("variant that no report holds", scope.origin[id(observation)])
    for resource in scope.of_type("Parameters"):
        yield Problem("output of an operation, not a report", scope.origin[id(resource)])


def _read_report(
    scope: Scope, report: Resource, *, observations: list[Resource], where: str
) -> Iterator[Report | Problem]:
    status = vocabulary.status(str(report.get("status")))
    taken, issued = _moments(report)
    patient_ids = _patient_ids(scope, report)
    reason = _unusable(status, issued, patient_ids=patient_ids)
    if reason or status is None or issued is None or taken is None:
        yield Problem(reason or "no date", where)
        yield from (Problem("variant of a report that cannot be used", where) for o in observations if _is_variant(o))
        return
    findings: list[Finding] = []
    coverage: list[Covered] = []
    if status != "entered-in-error":
        for observation in observations:
            for part in _read_observation(
                scope, report, observation=observation, observations=observations, where=where
            ):
                if isinstance(part, Finding):
                    findings.append(part)
                elif isinstance(part, Covered):
                    coverage.append(part)
                else:
                    yield part
        coverage.extend(_studied_genes(scope, report))
    if status != "entered-in-error" and not findings and not coverage:
        yield Problem("report without a germline variant and without the genes it looked at", where, kept=True)
    yield Report(
        report_id=_report_id(report),
        laboratory=_laboratory(scope, report),
        status=status,
        patient_ids=patient_ids,
        time=taken,
        available_time=issued,
        findings=tuple(findings),
        coverage=tuple(coverage),
    )


def _moments(report: Resource) -> tuple[datetime | None, datetime | None]:
    """Of the sample, and when the report was known, as `features.sources.fhir` has it of every fact.

    What it says of being issued, or of the end of its period, refines a date: a sample of 2016 whose report was issued
    in September was known then. Where it says neither, or one before the sample, the latest that the date can mean.
    """
    period = report.get("effectivePeriod")
    start, end = (period.get("start"), period.get("end")) if isinstance(period, dict) else (None, None)
    issued = report.get("issued")
    taken = next((text for text in (report.get("effectiveDateTime"), start, end, issued) if isinstance(text, str)), "")
    stated = max(filter(None, (moment(text) for text in (end, issued) if isinstance(text, str))), default=None)
    known = stated if stated and stated >= (first_moment(taken) or stated) else moment(taken)
    return min(filter(None, (moment(taken), known)), default=None), known


def _unusable(status: str | None, issued: object, *, patient_ids: tuple[str, ...]) -> str | None:
    if status is None:
        return "unknown status"
    if status == "preliminary":
        return "preliminary report"
    if issued is None:
        return "no date"
    return None if patient_ids else "no patient"


def _read_observation(
    scope: Scope, report: Resource, *, observation: Resource, observations: list[Resource], where: str
) -> Iterator[Finding | Covered | Problem]:
    if _is_region_studied(observation):
        yield from _region_studied(observation, where)
    elif _is_variant(observation):
        try:
            yield from _variant(scope, report, observation=observation, observations=observations, where=where)
        except GeneUnclearError as error:
            yield Problem(str(error), where, _hgvs(observation) or "")
    elif not _is_implication(observation) and not items(observation, "hasMember"):
        yield Problem(f"not a variant: {_kind(observation)}", where, kept=True)


def _variant(
    scope: Scope, report: Resource, *, observation: Resource, observations: list[Resource], where: str
) -> Iterator[Finding | Covered | Problem]:
    variant = _hgvs(observation)
    refused = _not_germline(observation)
    if observation.get("status") == "entered-in-error":
        refused = "variant entered in error"
    if refused or variant is None:
        yield Problem(refused or "variant without HGVS", where, variant or "")
        return
    gene = _gene(component(observation, GENE), variant=_naming(observation))
    present = _presence(observation)
    if present != "present":
        yield Covered(gene.hgnc, gene.symbol, result=None if present == "absent" else "inconclusive")
        return
    state = component(observation, ALLELIC_STATE)
    zygosity = next((z for _, c, d in codes(state) if (z := vocabulary.zygosity(code=c, text=d))), None)
    for significance, condition in _implications(scope, report, variant=observation, observations=observations):
        yield Finding(
            gene_hgnc=gene.hgnc,
            gene_symbol=gene.symbol,
            variant=variant,
            zygosity=zygosity or vocabulary.zygosity(text=words(state)),
            classification=_classification(significance),
            condition_mondo=_mondo(gene, condition),
            condition=words(condition),
        )


def _not_germline(observation: Resource) -> str | None:
    stated = component(observation, SOURCE_CLASS)
    origins = [vocabulary.origin(code=c, text=d) for _, c, d in codes(stated)] or [
        vocabulary.origin(text=words(stated))
    ]
    if origins[0] is None:
        has_state = component(observation, ALLELIC_STATE) is not None
        return None if has_state else "variant that does not say whether it is germline"
    return None if origins[0] == "germline" else f"variant not germline: {origins[0]}"


def _presence(observation: Resource) -> str:
    stated = {code for _, code, _ in codes(observation.get("valueCodeableConcept"))}
    if ABSENT in stated:
        return "absent"
    return "unclear" if stated & {NO_CALL, INDETERMINATE} else "present"


def _implications(
    scope: Scope, report: Resource, *, variant: Resource, observations: list[Resource]
) -> list[tuple[object, object]]:
    """Significance and condition of each diagnostic implication of the variant; its own where it has none."""
    judged = [
        (component(implication, SIGNIFICANCE), component(implication, CONDITION))
        for implication in observations
        if _is_implication(implication)
        and component(implication, SIGNIFICANCE) is not None
        and any(scope.find(r, holder=report) is variant for r in items(implication, "derivedFrom"))
    ]
    return judged or [(component(variant, SIGNIFICANCE), component(variant, CONDITION))]


def _classification(significance: object) -> str | None:
    known = (vocabulary.classification(code=c, text=d) for _, c, d in codes(significance))
    return next((k for k in known if k), None) or vocabulary.classification(text=words(significance))


def _mondo(gene: Gene, condition: object) -> str | None:
    given = codes(condition)
    ids = (mondo(gene, system=system, code=code, text=display) for system, code, display in given)
    return next((m for m in ids if m), None) or mondo(gene, system="", code=None, text=words(condition))


def _hgvs(observation: Resource) -> str | None:
    """Coding HGVS, else genomic, else the name of a known variation, else protein."""
    for code in (CODING_HGVS, GENOMIC_HGVS, VARIATION, PROTEIN_HGVS):
        for value in components(observation, code):
            for _, name, display in codes(value):
                if ":" in name:
                    return name
                if display and ":" in display:
                    return display
            if (text := words(value)) and ":" in text:
                return text
    return None


def _naming(observation: Resource) -> str:
    """All text in which the variant names its gene or transcript."""
    values = [v for code in (VARIATION, CODING_HGVS, TRANSCRIPT) for v in components(observation, code)]
    return " ".join(text for value in values for _, code, display in codes(value) for text in (code, display or ""))


def _gene(concept: object, *, variant: str | None = None) -> Gene:
    named = codes(concept)
    hgnc = next((code for system, code, _ in named if code.startswith("HGNC:") or "genenames" in system), None)
    symbol = next((display for _, _, display in named if display), None) or words(concept)
    return resolve(symbol=symbol, hgnc=hgnc, variant=variant)


def _region_studied(observation: Resource, where: str) -> Iterator[Covered | Problem]:
    limitation = component(observation, REGION_WORDS)
    for value in components(observation, GENE):
        try:
            gene = _gene(value)
        except GeneUnclearError as error:
            yield Problem(str(error), where)
            continue
        yield Covered(gene.hgnc, gene.symbol, limitation if isinstance(limitation, str) else words(limitation))
    if not components(observation, GENE):
        yield Problem("studied region given by coordinates, not by gene", where, kept=True)


def _studied_genes(scope: Scope, report: Resource) -> Iterator[Covered]:
    """Genes that the report's genomic study names, with the study's words on what it cannot see."""
    for link in extensions(report, "genomic-study-reference"):
        study = scope.find(link.get("valueReference"), holder=report)
        for further in extensions(study or {}, "genomic-study-analysis-ext"):
            analysis = scope.find(further.get("valueReference"), holder=study)
            if analysis is not None:
                yield from _analysis(analysis)


def _analysis(analysis: Resource) -> Iterator[Covered]:
    notes = [str(note["text"]) for note in items(analysis, "note") if note.get("text")]
    for regions in extensions(analysis, "genomic-study-analysis-regions"):
        limits = [str(e["valueString"]) for e in extensions(regions, "description") if e.get("valueString")] + notes
        uncalled = {c for e in extensions(regions, "uncalled") for _, c, _ in codes(e.get("valueCodeableConcept"))}
        for studied in extensions(regions, "studied"):
            try:
                gene = _gene(studied.get("valueCodeableConcept"))
            except GeneUnclearError:
                continue
            result = "inconclusive" if gene.hgnc in uncalled else None
            yield Covered(gene.hgnc, gene.symbol, "; ".join(limits) or None, result)


def _observations(scope: Scope, report: Resource) -> list[Resource]:
    """The report's results, their members, and the implications drawn from them, each once."""
    by_id = {id(r): r for r in contained(report) if r.get("resourceType") == "Observation"}
    waiting = [scope.find(reference, holder=report) for reference in items(report, "result")]
    while waiting:
        resource = waiting.pop(0)
        if resource is None or id(resource) in by_id or resource.get("resourceType") != "Observation":
            continue
        by_id[id(resource)] = resource
        waiting += [scope.find(r, holder=report) for key in ("hasMember", "derivedFrom") for r in items(resource, key)]
    for implication in scope.of_type("Observation"):
        if _is_implication(implication) and id(implication) not in by_id:
            sources = (scope.find(r, holder=report) for r in items(implication, "derivedFrom"))
            if any(id(source) in by_id for source in sources if source is not None):
                by_id[id(implication)] = implication
    return list(by_id.values())


def _is_genomic(report: Resource) -> bool:
    category = {code for c in items(report, "category") for _, code, _ in codes(c)}
    return (
        has_code(report, REPORT) or bool(profiles(report) & {"genomic-report", "genomics-report"}) or "GE" in category
    )


def _is_variant(observation: Resource) -> bool:
    return "variant" in profiles(observation) or has_code(observation, VARIANT)


def _is_region_studied(observation: Resource) -> bool:
    return "region-studied" in profiles(observation) or has_code(observation, REGION_STUDIED)


def _is_implication(observation: Resource) -> bool:
    return "diagnostic-implication" in profiles(observation) or has_code(observation, "diagnostic-implication")


def _kind(observation: Resource) -> str:
    return next(iter(sorted(profiles(observation))), None) or words(observation.get("code")) or "unnamed observation"


def _report_id(report: Resource) -> str:
    named = next((str(i["value"]) for i in items(report, "identifier") if i.get("value")), None)
    return named or str(report.get("id") or "")


def _laboratory(scope: Scope, report: Resource) -> str:
    for reference in items(report, "performer"):
        performer = scope.find(reference, holder=report) or {}
        name = performer.get("name") if performer.get("resourceType") == "Organization" else None
        if isinstance(name, str) or isinstance(reference.get("display"), str):
            return str(name if isinstance(name, str) else reference["display"])
    return "unnamed laboratory"


def _patient_ids(scope: Scope, report: Resource) -> tuple[str, ...]:
    reference = report.get("subject")
    patient = scope.find(reference, holder=report) or {}
    ids = [str(i["value"]) for i in items(patient, "identifier") if i.get("value")]
    ids += [str(patient["id"])] if patient.get("id") else []
    target = reference.get("reference") if isinstance(reference, dict) else None
    ids += [str(target).rsplit("/", 1)[-1]] if target else []
    named = reference.get("identifier") if isinstance(reference, dict) else None
    ids += [str(named["value"])] if isinstance(named, dict) and named.get("value") else []
    return tuple(dict.fromkeys(ids))
