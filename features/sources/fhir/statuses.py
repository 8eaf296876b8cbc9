"""What a resource's status says of its facts: whether they happened, and whether they are to be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ENTERED_IN_ERROR = "entered in error"
REFUTED = "refuted"
DIFFERENTIAL = "differential (one of several possible diagnoses)"
NO_BLOOD = "a relative who shares no blood (by marriage, step, foster, adopted)"
PROPOSAL = "a proposal, a plan or a prohibition"
CHANGED_MEANING = "a modifier extension changes its meaning"
UNKNOWN_STATUS = "verificationStatus is none of FHIR's (kept)"

# Statuses that say that the thing did not happen, or has no result (http://hl7.org/fhir/R4, value sets of `status`).
_NEVER_HAPPENED = {
    "Encounter": frozenset({"planned", "cancelled"}),
    "Observation": frozenset({"cancelled", "registered"}),
    "DiagnosticReport": frozenset({"cancelled", "registered"}),
    "MedicationRequest": frozenset({"cancelled", "draft"}),
    "MedicationAdministration": frozenset({"not-done"}),
    "MedicationDispense": frozenset({"cancelled", "declined", "preparation"}),
    "MedicationStatement": frozenset({"not-taken", "intended", "draft"}),
    "Procedure": frozenset({"not-done", "preparation"}),
    "Immunization": frozenset({"not-done"}),
    "FamilyMemberHistory": frozenset({"health-unknown"}),
    "Coverage": frozenset({"cancelled", "draft"}),
}
# Relatives who share no blood (https://terminology.hl7.org/CodeSystem-v3-RoleCode.html): by marriage, of a step or
# foster family, adopted; and people who are no relatives.
_NO_BLOOD = frozenset(
    """
    INLAW CHLDINLAW DAUINLAW SONINLAW PRNINLAW FTHINLAW MTHINLAW SIBINLAW BROINLAW SISINLAW SPS HUSB WIFE DOMPART FMRSPS
    SIGOTHR STPCHLD STPDAU STPSON STPPRN STPFTH STPMTH STPSIB STPBRO STPSIS CHLDADOPT DAUADOPT SONADOPT ADOPTP ADOPTF
    ADOPTM CHLDFOST DAUFOST SONFOST PRNFOST FTHFOST MTHFOST SIBFOST BROFOST SISFOST FRND NBOR ROOM
""".lower().split()
)
# MedicationRequest.intent: `option` is one of several that somebody may choose from.
_NOT_ORDERED = frozenset({"proposal", "plan", "option"})
# verificationStatus of Condition and AllergyIntolerance in R4 and STU3, and SNOMED CT's codes of "absent".
_SURE = frozenset({"confirmed", "entered-in-error", "refuted", "unknown", "presumed"})
_UNSURE = frozenset({"unconfirmed", "provisional"})
_NO_CODES: frozenset[str] = frozenset()
_NEGATIONS = frozenset({"notDone", "notGiven", "wasNotGiven", "notPerformed"})
_ABSENT = frozenset({"refuted", "410594000", "410516002"})


def not_to_be_used(kind: str, resource: Mapping[str, Any]) -> str | None:
    """Why the facts of a resource are not to be used; None where they are."""
    status = resource.get("status")
    verification = codes_of(resource, "verificationStatus") if "verificationStatus" in resource else _NO_CODES
    if status == "entered-in-error" or "entered-in-error" in verification:
        return ENTERED_IN_ERROR
    if verification & _ABSENT:
        return REFUTED
    if "differential" in verification:
        return DIFFERENTIAL
    if status in _NEVER_HAPPENED.get(kind, ()):
        return f"status {status}"
    if negated := _negated(kind, resource):
        return negated
    if kind == "FamilyMemberHistory" and codes_of(resource, "relationship") & _NO_BLOOD:
        return NO_BLOOD
    if kind == "MedicationRequest" and (resource.get("intent") in _NOT_ORDERED or resource.get("doNotPerform")):
        return PROPOSAL
    # https://hl7.org/fhir/R4/extensibility.html#modifierExtension: what cannot be understood is not to be used.
    return CHANGED_MEANING if resource.get("modifierExtension") else None


def _negated(kind: str, resource: Mapping[str, Any]) -> str | None:
    """STU3 and R5 say in elements of their own what R4 says by a status."""
    if not _NEGATIONS.isdisjoint(resource) and any(resource.get(name) is True for name in _NEGATIONS):
        return "status not-done"
    if kind == "MedicationStatement":
        adherence = resource.get("adherence")
        codes = codes_of(adherence, "code") if isinstance(adherence, dict) else frozenset()
        if resource.get("taken") == "n" or any(code.startswith("not-taking") for code in codes):
            return "status not-taken"
    return None


def note_of(kind: str, resource: Mapping[str, Any]) -> str | None:
    """What somebody should know of a resource that is used."""
    verification = codes_of(resource, "verificationStatus") if kind == "Condition" else _NO_CODES
    if not verification:
        return None
    if unsure := verification & _UNSURE:
        return f"{min(unsure)} (kept)"
    return None if verification & _SURE else UNKNOWN_STATUS


def codes_of(resource: Mapping[str, Any], name: str) -> frozenset[str]:
    """The codes of a status, which STU3 writes as a text; its words where it has no code."""
    concept = resource.get(name)
    if isinstance(concept, str):
        return frozenset([concept.strip().lower()])
    if not isinstance(concept, dict):
        return frozenset()
    codings = [one for one in concept.get("coding") or [] if isinstance(one, dict) and one.get("code")]
    if not codings and isinstance(text := concept.get("text"), str):
        return frozenset([text.strip().lower().replace(" ", "-")])
    return frozenset(str(coding["code"]).strip().lower() for coding in codings)
