"""Reports in the JSON of the eMERGE network's sequencing centre: one document per person and report."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from features.findings import vocabulary
from features.findings.fhir_resources import Resource, items
from features.findings.genes import GeneUnclearError, mondo, resolve
from features.findings.reports import Covered, Finding, Problem, Report, moment

LABORATORY = "eMERGE sequencing centre"


def is_emerge(document: Resource) -> bool:
    """Whether a JSON document has this shape."""
    return {"reportIdentifier", "reportStatus", "variants", "geneCoverage"} <= document.keys()


def read(where: str, document: Resource) -> Iterator[Report | Problem]:
    """Yield the report in an eMERGE document, and a problem for each part of it that was not understood.

    Such a report lists only those genes of its panel that were not covered whole; the others, however many, are named
    nowhere, and stay *not known to be tested*.
    """
    status = vocabulary.status(_text(document, "reportStatus"))
    issued = _date(_text(document, "reportDate") or _text(document, "onDate"))
    patient_ids = tuple(v for key in ("patientID", "patientSampleID", "localID") if (v := _text(document, key)))
    if status is None or status == "preliminary" or document.get("isPreliminary") is True:
        yield Problem("unknown status" if status is None else "preliminary report", where)
        return
    if issued is None or not patient_ids:
        yield Problem("no date" if issued is None else "no patient", where)
        return
    findings: list[Finding] = []
    coverage: list[Covered] = []
    if status != "entered-in-error":
        for part in _parts(where, document):
            if isinstance(part, Finding):
                findings.append(part)
            elif isinstance(part, Covered):
                coverage.append(part)
            else:
                yield part
    taken = _date(_text(document, "sampleCollectedDate")) or issued
    yield Report(
        report_id=_text(document, "reportIdentifier") or "",
        laboratory=LABORATORY,
        status=status,
        patient_ids=patient_ids,
        time=min(taken, issued),
        available_time=issued,
        findings=tuple(findings),
        coverage=tuple(coverage),
    )


def _parts(where: str, document: Resource) -> Iterator[Finding | Covered | Problem]:
    if vocabulary.origin(text=_text(document, "genomicSource")) != "germline":
        yield Problem("report not on the germline", where)
        return
    for variant in items(document, "variants"):
        try:
            yield from _variant(where, variant)
        except GeneUnclearError as error:
            yield Problem(str(error), where, _text(variant, "cDNA") or "")
    for gene_coverage in items(document, "geneCoverage"):
        try:
            gene = resolve(symbol=_text(gene_coverage, "gene"), hgnc=None)
        except GeneUnclearError as error:
            yield Problem(str(error), where, _text(gene_coverage, "gene") or "")
            continue
        share = _text(gene_coverage, "coverage")
        yield Covered(gene.hgnc, gene.symbol, f"{share} % of targeted bases read 20 times or more" if share else None)
    yield Problem("panel whose wholly covered genes the report does not name", where, kept=True)
    for _ in items(document, "pgxData"):
        yield Problem("not a variant: pharmacogenomic diplotype", where, kept=True)


def _variant(where: str, variant: Resource) -> Iterator[Finding | Problem]:
    name = _hgvs(variant)
    if name is None:
        yield Problem("variant without HGVS", where)
        return
    if variant.get("interrogatedButNotFound") is True or variant.get("notInterpreted") is True:
        yield Problem("variant looked for, not found or not interpreted", where, name)
        return
    symbol, hgnc = _text(variant, "gene"), _text(variant, "hgncID")
    gene = resolve(symbol=symbol, hgnc=hgnc, variant=name)
    if hgnc and hgnc != gene.hgnc:
        yield Problem("HGNC id names another gene than symbol and transcript; the latter taken", where, name, kept=True)
    for disease in items(variant, "diseases") or [{}]:
        system, code, text = (_text(disease, key) for key in ("ontology", "code", "text"))
        yield Finding(
            gene_hgnc=gene.hgnc,
            gene_symbol=gene.symbol,
            variant=name,
            zygosity=vocabulary.zygosity(text=_text(variant, "zygosity")),
            classification=vocabulary.classification(text=_text(variant, "interpretation")),
            condition_mondo=mondo(gene, system=system or "", code=code, text=text),
            condition=text,
        )


def _hgvs(variant: Resource) -> str | None:
    transcript, change, protein = (_text(variant, key) for key in ("transcript", "cDNA", "proteinChange"))
    if not transcript or not change:
        return None
    return f"{transcript}:{change} ({protein})" if protein else f"{transcript}:{change}"


def _date(text: str | None) -> datetime | None:
    """ISO, or the American order that these reports use (04/17/2020)."""
    if parts := re.fullmatch(r"(\d\d)/(\d\d)/(\d{4})", text or ""):
        return moment(f"{parts[3]}-{parts[1]}-{parts[2]}")
    return moment(text)


def _text(holder: Resource, key: str) -> str | None:
    value = holder.get(key)
    return value.strip() or None if isinstance(value, str) else None
