"""FHIR's names of code systems as vocabularies, and its codes of encounters, genders and races as OMOP writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from features.codes import ANSWER, canonical_code
from features.sources.drugs import by_name

# https://terminology.hl7.org/external_terminologies.html (URIs and OIDs), to vocabulary_id as in OHDSI's Athena.
_VOCABULARIES = {
    "http://snomed.info/sct": "SNOMED",
    "2.16.840.1.113883.6.96": "SNOMED",
    "http://loinc.org": "LOINC",
    "2.16.840.1.113883.6.1": "LOINC",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "2.16.840.1.113883.6.88": "RxNorm",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD10CM",
    "2.16.840.1.113883.6.90": "ICD10CM",
    "http://hl7.org/fhir/sid/icd-10-us": "ICD10CM",
    "http://hl7.org/fhir/sid/icd-10": "ICD10",
    "2.16.840.1.113883.6.3": "ICD10",
    "http://hl7.org/fhir/sid/icd-10-de": "ICD10GM",
    "http://fhir.de/codesystem/bfarm/icd-10-gm": "ICD10GM",
    "http://fhir.de/codesystem/dimdi/icd-10-gm": "ICD10GM",
    "http://hl7.org/fhir/sid/icd-9-cm": "ICD9CM",
    "http://hl7.org/fhir/sid/icd-9-cm/diagnosis": "ICD9CM",
    "http://hl7.org/fhir/sid/icd-9-cm/procedure": "ICD9Proc",
    "2.16.840.1.113883.6.103": "ICD9CM",
    "2.16.840.1.113883.6.104": "ICD9Proc",
    "http://www.cms.gov/medicare/coding/icd10": "ICD10PCS",
    "http://hl7.org/fhir/sid/icd-10-pcs": "ICD10PCS",
    "2.16.840.1.113883.6.4": "ICD10PCS",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "2.16.840.1.113883.12.292": "CVX",
    "http://hl7.org/fhir/sid/ndc": "NDC",
    "2.16.840.1.113883.6.69": "NDC",
    "http://www.ama-assn.org/go/cpt": "CPT4",
    "2.16.840.1.113883.6.12": "CPT4",
    "http://www.cms.gov/medicare/coding/hcpcsreleasecodesets": "HCPCS",
    "http://terminology.hl7.org/codesystem/hcpcs-all-codes": "HCPCS",
    "2.16.840.1.113883.6.285": "HCPCS",
    "http://www.whocc.no/atc": "ATC",
    "2.16.840.1.113883.6.73": "ATC",
    "http://www.ada.org/cdt": "CDT",
    "http://www.ada.org/snodent": "SNODENT",
    "http://hl7.org/fhir/sid/icpc-2": "ICPC2",
    "http://read.info/readv2": "Read",
    "http://read.info/ctv3": "CTV3",
    "https://dmd.nhs.uk": "dm+d",
    "http://purl.obolibrary.org/obo/hp.owl": "HPO",
    "http://human-phenotype-ontology.org": "HPO",
    "urn:oid:2.16.840.1.113883.6.238": "CDCREC",
    "2.16.840.1.113883.6.238": "CDCREC",
    "http://unitsofmeasure.org": "UCUM",
    "2.16.840.1.113883.6.8": "UCUM",
    "urn:presage:vocabulary": "Presage",
}

_BY_KEY = {
    system.replace("https://", "http://").replace("http://www.", "http://").removeprefix("urn:oid:"): name
    for system, name in _VOCABULARIES.items()
}

_NAMES = frozenset(_VOCABULARIES.values())

# HL7 v3 ActCode of Encounter.class, to codes of OMOP's vocabulary Visit.
VISITS = {
    "AMB": "OP",
    "VR": "OP",
    "OBSENC": "OP",
    "EMER": "ER",
    "IMP": "IP",
    "ACUTE": "IP",
    "NONAC": "IP",
    "SS": "IP",
}
ADMITTED_FROM_EMERGENCY = "emd"  # http://terminology.hl7.org/CodeSystem/admit-source

GENDERS = {"male": "Gender//M", "female": "Gender//F", "other": "Gender//O"}

# CDC race and ethnicity (https://terminology.hl7.org/CodeSystem-CDCREC.html), to OMOP's vocabularies.
RACES = {
    "1002-5": "Race//1",
    "2028-9": "Race//2",
    "2054-5": "Race//3",
    "2076-8": "Race//4",
    "2106-3": "Race//5",
    "2131-1": "Race//6",
}
ETHNICITIES = {"2135-2": "Ethnicity//Hispanic", "2186-5": "Ethnicity//Not Hispanic"}


class Coded(NamedTuple):
    """A codeable concept: the code it becomes, its other codings (the same fact in other words), and its words."""

    code: str
    others: tuple[str, ...] = ()
    words: str | None = None


@lru_cache(maxsize=4096)
def vocabulary(system: str | None) -> str:
    """The name of the vocabulary that a code system's URI stands for; an unknown system keeps its URI."""
    if not system or not system.strip():
        return "unknown system"
    spelt = system.strip().rstrip("/")
    known = spelt.lower().partition("|")[0].rstrip("/ ").removeprefix("urn:oid:")
    known = "http://" + known.removeprefix("https://") if known.startswith("https://") else known
    if known.startswith("http://snomed.info/sct/"):  # an edition or version of it
        return "SNOMED"
    return _BY_KEY.get(known.replace("http://www.", "http://"), spelt)


def code_of(coding: Mapping[str, Any]) -> str | None:
    """The code of one coding, written `VOCABULARY//CODE`; None where it has no code."""
    if not isinstance(coding, dict):
        return None
    code, system = coding.get("code"), coding.get("system")
    if code in (None, ""):
        return None
    return _code(system, str(code))


@lru_cache(maxsize=65536)
def _code(system: str | None, code: str) -> str | None:
    name = vocabulary(system)
    plain = _plain(code)
    if name == "SNOMED" and "|" in plain:
        # SNOMED CT's grammar writes a term behind a code. An expression of several concepts stays what it is.
        plain = re.sub(r"^(\d+)\s*\|[^|]*\|$", r"\1", plain)
    return canonical_code(f"{name}//{plain}") if plain else None


def coded_drug(concept: Mapping[str, Any] | None) -> Coded | None:
    """A drug as `coded` has it; one of unknown number gains a coding for each ingredient that its names say."""
    drug = coded(concept, text_prefix="Source/drug")
    if drug is None or concept is None:
        return None
    codings = [coding for coding in concept.get("coding") or () if isinstance(coding, dict)]
    names = [concept.get("text"), *(coding.get("display") for coding in codings)]
    read = by_name((drug.code, *drug.others), (name for name in names if isinstance(name, str)))
    return drug._replace(others=tuple(sorted({*drug.others, *read}))) if read else drug


def answers(concept: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The codings of a coded value, as `Answer//VOCABULARY//CODE`: what was answered is not what was asked."""
    codings = concept.get("coding") if isinstance(concept, dict) else None
    if not codings:
        return ()
    return tuple(sorted({f"{ANSWER}{code}" for coding in codings if (code := code_of(coding))}))


def _plain(text: str) -> str:
    """Without control characters, one of which parts the codes of a fact's key."""
    return (text if text.isprintable() else "".join(char for char in text if char.isprintable())).strip()


def coded(concept: Mapping[str, Any] | None, *, text_prefix: str) -> Coded | None:
    """A codeable concept as one code: the coding its user chose, else the first of a known vocabulary, else the first.

    A concept without codings is known by its text, `<text_prefix>//<text>`; the result is None where it has neither.
    """
    if not isinstance(concept, dict):
        return None
    text, held = concept.get("text"), concept.get("coding") or ()
    if isinstance(held, list) and len(held) == 1 and (only := code_of(held[0])):
        return Coded(only, (), held[0].get("display") or text)
    codings = [(code, coding) for coding in held if (code := code_of(coding))]
    if not codings:
        return Coded(f"{text_prefix}//{_plain(text)[:200]}", words=text) if isinstance(text, str) and text else None
    code, chosen = min(codings, key=lambda pair: _reluctance(pair[1]))
    others = tuple(sorted({other for other, _ in codings if other != code}))
    return Coded(code, others, chosen.get("display") or text)


def _reluctance(coding: Mapping[str, Any]) -> int:
    if coding.get("userSelected") is True:
        return 0
    return 1 if vocabulary(coding.get("system")) in _NAMES else 2
