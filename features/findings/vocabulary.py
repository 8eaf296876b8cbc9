"""The words of laboratory reports, brought to one vocabulary: classification, zygosity, status, origin."""

from __future__ import annotations

import re

PATHOGENIC = "pathogenic"
LIKELY_PATHOGENIC = "likely pathogenic"
UNCERTAIN = "uncertain significance"
LIKELY_BENIGN = "likely benign"
BENIGN = "benign"
CONFLICTING = "conflicting classifications"

# LOINC answer lists LL4034-6 (clinical significance), LL381-5 (allelic state), LL378-1 (genomic source class).
_CLASSIFICATION_LOINC = {
    "LA6668-3": PATHOGENIC,
    "LA26332-9": LIKELY_PATHOGENIC,
    "LA26333-7": UNCERTAIN,
    "LA26334-5": LIKELY_BENIGN,
    "LA6675-8": BENIGN,
}
_ZYGOSITY_LOINC = {
    "LA6703-8": "heteroplasmic",
    "LA6704-6": "homoplasmic",
    "LA6705-3": "homozygous",
    "LA6706-1": "heterozygous",
    "LA6707-9": "hemizygous",
}
_GERMLINE_LOINC = {"LA6683-2", "LA18194-3", "LA26807-0"}  # germline, likely germline, de novo
_NOT_GERMLINE_LOINC = {
    "LA6684-0": "somatic",
    "LA18195-0": "likely somatic",
    "LA10429-1": "fetal",
    "LA18196-8": "likely fetal",
    "LA18197-6": "of unknown origin",
}

# Five-tier words of ACMG/AMP 2015 (Richards, Genet Med 17:405-24), classes 1 to 5 of IARC (Plon 2008, Hum Mutat
# 29:1282-91), ClinVar's aggregate words, abbreviations in use. An aggregate of two classes is read as the weaker one.
_CLASSIFICATION_WORDS = {
    "pathogenic": PATHOGENIC,
    "class 5": PATHOGENIC,
    "5": PATHOGENIC,
    "p": PATHOGENIC,
    "path": PATHOGENIC,
    "likely pathogenic": LIKELY_PATHOGENIC,
    "pathogenic likely pathogenic": LIKELY_PATHOGENIC,
    "class 4": LIKELY_PATHOGENIC,
    "4": LIKELY_PATHOGENIC,
    "lp": LIKELY_PATHOGENIC,
    "uncertain significance": UNCERTAIN,
    "variant of uncertain significance": UNCERTAIN,
    "unknown significance": UNCERTAIN,
    "class 3": UNCERTAIN,
    "3": UNCERTAIN,
    "vus": UNCERTAIN,
    "likely benign": LIKELY_BENIGN,
    "benign likely benign": LIKELY_BENIGN,
    "class 2": LIKELY_BENIGN,
    "2": LIKELY_BENIGN,
    "lb": LIKELY_BENIGN,
    "benign": BENIGN,
    "class 1": BENIGN,
    "1": BENIGN,
    "b": BENIGN,
    "conflicting interpretations of pathogenicity": CONFLICTING,
    "conflicting classifications of pathogenicity": CONFLICTING,
}
_ZYGOSITY_WORDS = {
    "heterozygous": "heterozygous",
    "het": "heterozygous",
    "homozygous": "homozygous",
    "hom": "homozygous",
    "hemizygous": "hemizygous",
    "hem": "hemizygous",
    "hemi": "hemizygous",
    "heteroplasmic": "heteroplasmic",
    "homoplasmic": "homoplasmic",
}

# FHIR diagnostic-report-status, HL7 v2 table 0085 (F, C, W, P, D), and words. What is not final yet is not taken.
_STATUS_WORDS = {
    "final": "final",
    "f": "final",
    "complete": "final",
    "amended": "amended",
    "appended": "amended",
    "corrected": "corrected",
    "c": "corrected",
    "entered-in-error": "entered-in-error",
    "entered in error": "entered-in-error",
    "cancelled": "entered-in-error",
    "w": "entered-in-error",
    "d": "entered-in-error",
    "preliminary": "preliminary",
    "partial": "preliminary",
    "registered": "preliminary",
    "p": "preliminary",
}
STATUS_RANK = {"final": 0, "amended": 1, "corrected": 1, "entered-in-error": 2}


def classification(*, code: str | None = None, text: str | None = None) -> str | None:
    """The five-tier classification that a LOINC answer code, or a laboratory's own word, means.

    None where neither is known.
    """
    if code in _CLASSIFICATION_LOINC:
        return _CLASSIFICATION_LOINC[code]
    return _CLASSIFICATION_WORDS.get(_plain(text))


def zygosity(*, code: str | None = None, text: str | None = None) -> str | None:
    """The zygosity that a LOINC answer code or a word means: heterozygous, homozygous, hemizygous, heteroplasmic or
    homoplasmic.

    None where neither is known.
    """
    if code in _ZYGOSITY_LOINC:
        return _ZYGOSITY_LOINC[code]
    return _ZYGOSITY_WORDS.get(_plain(text))


def status(text: str | None) -> str | None:
    """The status of a report: final, amended, corrected, entered-in-error or preliminary; None for another word."""
    return _STATUS_WORDS.get((text or "").strip().lower())


def origin(*, code: str | None = None, text: str | None = None) -> str | None:
    """Where a variant comes from: germline, or another source class that the report names; None where it names none."""
    word = _plain(text)
    if code in _GERMLINE_LOINC or word in {"germline", "likely germline", "de novo"}:
        return "germline"
    return _NOT_GERMLINE_LOINC.get(code or "", word or None)


def result_of(classifications: set[str | None]) -> str:
    """The result of a gene that follows from the classifications of its findings: positive, inconclusive or negative.

    No finding at all is negative.
    """
    if classifications & {PATHOGENIC, LIKELY_PATHOGENIC}:
        return "positive"
    return "inconclusive" if classifications & {UNCERTAIN, CONFLICTING, None} else "negative"


def _plain(text: str | None) -> str:
    """Lower case, one space between words; `5 - Pathogenic` and `Class 5: pathogenic` keep their word only."""
    words = re.sub(r"[^a-z0-9]+", " ", (text or "").lower()).strip()
    return re.sub(r"^(?:class )?[1-5] (?=[a-z])", "", words)
