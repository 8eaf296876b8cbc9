"""Facts that were asked about and denied: a diagnosis answered with "no" is no diagnosis.

A fact's key holds the coding of its answer as `Answer//VOCABULARY//CODE`, beside what was asked.
"""

from __future__ import annotations

from features.record import codes_of

ANSWER = "Answer//"
# No, absent, not detected, negative, not done, unknown: SNOMED CT, LOINC's answers, HL7 v2 table 0136, FHIR's boolean.
_NO = frozenset(
    ANSWER + code
    for code in (
        *(f"SNOMED//{code}" for code in ("373067005", "2667000", "260415000", "260385009", "261665006", "385660001")),
        *(f"LOINC//{code}" for code in ("LA32-8", "LA9634-2", "LA11883-8", "LA6577-6", "LA4489-6")),
        "http://terminology.hl7.org/CodeSystem/v2-0136//N",
        "Boolean//false",
    )
)


def is_denied(key: str) -> bool:
    """Whether the fact of this key was answered with "no", or with nothing that says yes.

    >>> is_denied("SNOMED//73211009\\x1fAnswer//SNOMED//373067005"), is_denied("SNOMED//73211009")
    (True, False)
    """
    return ANSWER in key and not _NO.isdisjoint(codes_of(key))
