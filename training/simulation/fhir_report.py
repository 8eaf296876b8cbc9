"""A laboratory's report as a FHIR R4 bundle of HL7's Genomics Reporting guide 3.0."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.findings import resolve

if TYPE_CHECKING:
    from training.simulation.reported import LaboratoryReport, ReportedVariant

Json = dict[str, object]

_GUIDE = "http://hl7.org/fhir/uv/genomics-reporting/StructureDefinition/"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://presage.invalid/simulated")
MRN_SYSTEM = "https://presage.invalid/simulated/mrn"
ACCESSION_SYSTEM = "https://presage.invalid/simulated/accession"

# LOINC answers: clinical significance (LL4034-6), allelic state (LL381-5).
_SIGNIFICANCE = {
    "pathogenic": ("LA6668-3", "Pathogenic"),
    "likely pathogenic": ("LA26332-9", "Likely pathogenic"),
    "uncertain significance": ("LA26333-7", "Uncertain significance"),
}
_ALLELIC_STATE = {"heterozygous": ("LA6706-1", "Heterozygous")}


def bundle(report: LaboratoryReport, conditions: Mapping[str, tuple[str, str, str]]) -> Json:
    """A collection: patient, laboratory, report, the study with the genes it looked at, variants, implications.

    `conditions`: MONDO id and name by gene. A report entered in error keeps no results.
    """
    variants = () if report.status == "entered-in-error" else report.variants
    resources = [_patient(report), _laboratory(report)]
    results: list[str] = []
    for number, variant in enumerate(variants):
        resources += [
            _variant(report, variant, number=number),
            _implication(report, variant, number=number, condition=conditions[variant.gene]),
        ]
        results += [_url(report, f"variant-{number}"), _url(report, f"implication-{number}")]
    resources += [_study(report), _analysis(report), _report(report, variants, results=results)]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": _instant(report),
        "entry": [{"fullUrl": _url(report, str(r.pop("_name"))), "resource": r} for r in resources],
    }


def _patient(report: LaboratoryReport) -> Json:
    return {
        "_name": "patient",
        "resourceType": "Patient",
        "id": _id(report, "patient"),
        "identifier": [
            {
                "type": _concept(
                    "http://terminology.hl7.org/CodeSystem/v2-0203", "MR", display="Medical record number"
                ),
                "system": MRN_SYSTEM,
                "value": str(report.person_id),
            }
        ],
    }


def _laboratory(report: LaboratoryReport) -> Json:
    return {
        "_name": "laboratory",
        "resourceType": "Organization",
        "id": _id(report, "laboratory"),
        "name": report.laboratory,
    }


def _variant(report: LaboratoryReport, variant: ReportedVariant, *, number: int) -> Json:
    gene = resolve(symbol=variant.gene, hgnc=None)
    parts = [
        _component(
            "48018-6", "Gene studied [ID]", value=_concept("http://www.genenames.org", gene.hgnc, display=gene.symbol)
        ),
        _component("81290-9", "Genomic DNA change (gHGVS)", value=_concept("http://varnomen.hgvs.org", variant.hgvs_g)),
        _component(
            "81252-9",
            "Discrete genetic variant",
            value=_concept("http://www.ncbi.nlm.nih.gov/clinvar", variant.clinvar_id),
        ),
        _component("48002-0", "Genomic source class [Type]", value=_loinc("LA6683-2", "Germline")),
        _component("53034-5", "Allelic state", value=_loinc(*_ALLELIC_STATE[variant.zygosity])),
    ]
    if variant.hgvs_c:
        coding = _concept("http://varnomen.hgvs.org", variant.hgvs_c)
        parts.insert(1, _component("48004-6", "DNA change (c.HGVS)", value=coding))
    return {
        "_name": f"variant-{number}",
        **_observation(report, f"variant-{number}", profile="variant"),
        "code": _loinc("69548-6", "Genetic variant assessment"),
        "valueCodeableConcept": _loinc("LA9633-4", "Present"),
        "method": _loinc("LA26398-0", "Sequencing"),
        "component": parts,
    }


def _implication(
    report: LaboratoryReport, variant: ReportedVariant, *, number: int, condition: tuple[str, str, str]
) -> Json:
    mondo = _concept("http://purl.obolibrary.org/obo/mondo.owl", condition[0], display=condition[1])
    significance = _loinc(*_SIGNIFICANCE[variant.classification])
    return {
        "_name": f"implication-{number}",
        **_observation(report, f"implication-{number}", profile="diagnostic-implication"),
        "code": _concept(
            "http://hl7.org/fhir/uv/genomics-reporting/CodeSystem/tbd-codes-cs",
            "diagnostic-implication",
            display="Diagnostic Implication",
        ),
        "derivedFrom": [{"reference": _url(report, f"variant-{number}")}],
        "component": [
            _component("53037-8", "Genetic variation clinical significance [Imp]", value=significance),
            _component("81259-4", "Predicted phenotype", value=mondo),
        ],
    }


def _observation(report: LaboratoryReport, name: str, *, profile: str) -> Json:
    return {
        "resourceType": "Observation",
        "id": _id(report, name),
        "meta": {"profile": [_GUIDE + profile]},
        "status": report.status,
        "category": [
            _concept("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", display="Laboratory"),
            _concept("http://terminology.hl7.org/CodeSystem/v2-0074", "GE", display="Genetics"),
        ],
        "subject": {"reference": _url(report, "patient")},
        "effectiveDateTime": report.collected.isoformat(),
        "performer": [{"reference": _url(report, "laboratory")}],
    }


def _study(report: LaboratoryReport) -> Json:
    link = {"url": _GUIDE + "genomic-study-analysis-ext", "valueReference": {"reference": _url(report, "analysis")}}
    return {
        **_procedure(report, "study", profile="genomic-study"),
        "extension": [link],
        "code": {"text": f"{report.panel} panel"},
    }


def _analysis(report: LaboratoryReport) -> Json:
    """Genes studied, those without a limit together and each other one with its limit in words."""
    whole = [gene for gene, limit in report.covered.items() if not limit]
    regions = [_regions(whole, None)] if whole else []
    regions += [_regions([gene], limit) for gene, limit in report.covered.items() if limit]
    build = {
        "url": _GUIDE + "genomic-study-analysis-genome-build",
        "valueCodeableConcept": _loinc("LA26806-2", "GRCh38"),
    }
    return {**_procedure(report, "analysis", profile="genomic-study-analysis"), "extension": [build, *regions]}


def _regions(genes: list[str], limit: str | None) -> Json:
    parts: list[Json] = [{"url": "description", "valueString": limit}] if limit else []
    for symbol in genes:
        gene = resolve(symbol=symbol, hgnc=None)
        concept = _concept("http://www.genenames.org", gene.hgnc, display=gene.symbol)
        parts.append({"url": "studied", "valueCodeableConcept": concept})
    return {"url": _GUIDE + "genomic-study-analysis-regions", "extension": parts}


def _procedure(report: LaboratoryReport, name: str, *, profile: str) -> Json:
    return {
        "_name": name,
        "resourceType": "Procedure",
        "id": _id(report, name),
        "meta": {"profile": [_GUIDE + profile]},
        "status": "entered-in-error" if report.status == "entered-in-error" else "completed",
        "category": _concept(
            "http://terminology.hl7.org/CodeSystem/observation-category", "laboratory", display="Laboratory"
        ),
        "subject": {"reference": _url(report, "patient")},
        "performedDateTime": report.collected.isoformat(),
    }


def _report(report: LaboratoryReport, variants: tuple[ReportedVariant, ...], *, results: list[str]) -> Json:
    harmful = any(variant.classification != "uncertain significance" for variant in variants)
    conclusion = _loinc("LA6576-8", "Positive") if harmful else _loinc("LA6577-6", "Negative")
    if variants and not harmful:
        conclusion = _loinc("LA9663-1", "Inconclusive")
    body: Json = {
        "_name": "report",
        "resourceType": "DiagnosticReport",
        "id": _id(report, "report"),
        "meta": {"profile": [_GUIDE + "genomic-report"]},
        "extension": [
            {"url": _GUIDE + "genomic-study-reference", "valueReference": {"reference": _url(report, "study")}}
        ],
        "identifier": [{"system": ACCESSION_SYSTEM, "value": report.accession}],
        "status": report.status,
        "category": [_concept("http://terminology.hl7.org/CodeSystem/v2-0074", "GE", display="Genetics")],
        "code": _loinc("51969-4", "Genetic analysis report"),
        "subject": {"reference": _url(report, "patient")},
        "effectiveDateTime": report.collected.isoformat(),
        "issued": _instant(report),
        "performer": [{"reference": _url(report, "laboratory")}],
        "conclusionCode": [conclusion],
    }
    if results:
        body["result"] = [{"reference": url} for url in results]
    return body


def _component(code: str, display: str, *, value: Json) -> Json:
    return {"code": _loinc(code, display), "valueCodeableConcept": value}


def _loinc(code: str, display: str) -> Json:
    return _concept("http://loinc.org", code, display=display)


def _concept(system: str, code: str, *, display: str | None = None) -> Json:
    coding = {"system": system, "code": code}
    return {"coding": [{**coding, "display": display} if display else coding]}


def _instant(report: LaboratoryReport) -> str:
    return f"{report.reported.isoformat()}T17:00:00Z"


def _id(report: LaboratoryReport, name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{report.accession}/{name}"))


def _url(report: LaboratoryReport, name: str) -> str:
    return f"urn:uuid:{_id(report, name)}"
