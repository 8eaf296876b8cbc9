"""The gate's rules as a table: a report, the study's rule, the verdict and the words."""

from typing import Any

import pytest

from tests.made import result_with
from training.registry.gate import gate
from training.result import Result
from training.study import Gate


def report(**changes: Any) -> Result:
    interval = {"value": 0.05, "low": 0.01, "high": 0.09}
    parts: dict[str, Any] = {
        "chosen": {"metrics": {"calibration_slope": {"value": 1.02}}},
        "equation": {"name": "prevent_chd_10y", "people": 900, "delta": {"auc": interval}},
        "gaps": {"sex": gap(0.04), "site": gap(0.12)},
        "leakage": proof(passed=True, sentence="no canary moved"),
    }
    return result_with(**parts | changes)


def gap(auc: float) -> dict[str, Any]:
    return {"auc": auc, "low": 0.01, "lowest": "A", "highest": "B"}


def proof(*, passed: bool, sentence: str) -> dict[str, Any]:
    counts = {"canaries": 9, "moved": [], "people_in_two_splits": 0, "suspicious": {}}
    return {"passed": passed, "sentence": sentence, "auc": None, "auc_earlier": None} | counts


def verdicts(
    found: Result,
    rules: Gate | None = None,
    *,
    flat: bool = False,
    signed_by: str | None = "demo",
    blank: tuple[str, ...] = (),
) -> dict[str, tuple[str, str]]:
    held = gate(found, rules or Gate(), flat=flat, signed_by=signed_by, blank=blank)
    return {rule.name: (rule.verdict, rule.why) for rule in held}


def test_a_report_that_meets_every_rule_passes() -> None:
    assert {verdict for verdict, _ in verdicts(report()).values()} == {"pass"}


@pytest.mark.parametrize(
    ("change", "rule", "verdict", "why"),
    [
        ({"equation": None}, "beats the reference equation", "not applicable", "no equation"),
        (
            {"equation": {"name": "e", "people": 9, "delta": {"auc": {"value": 0.02, "low": -0.01, "high": 0.05}}}},
            "beats the reference equation", "fail",
            "+0.020 (-0.010 to +0.050) on 9 people; the lower end has to be above 0, short by 0.010",
        ),
        ({"equation": {"name": "e", "people": 0, "delta": {}, "reason": "another horizon"}},
         "beats the reference equation", "not applicable", "another horizon"),
        ({"equation": {"name": "e", "people": 5000, "delta": {"auc": {"value": -0.10, "low": None, "high": None}}}},
         "beats the reference equation", "fail", "bootstraps"),  # a training with bootstraps = 0 passed by it
        ({"equation": {"name": "e", "people": 3, "delta": {}}}, "beats the reference equation", "fail",
         "no interval on 3 people"),
        ({"chosen": {"metrics": {"calibration_slope": {"value": 0.7}}}}, "calibration slope in range", "fail",
         "outside by 0.10"),
        ({"gaps": {"site": gap(0.3)}}, "no subgroup gap beyond the limit", "fail", "by site"),
        ({"gaps": {}}, "no subgroup gap beyond the limit", "not applicable", "two levels"),
        ({"leakage": proof(passed=False, sentence="3 features moved")}, "leakage proof present", "fail", "3 features"),
        ({"leakage": None}, "leakage proof present", "fail", "the run holds none"),
    ],
)  # fmt: skip
def test_a_rule_that_fails_or_cannot_apply_says_why(change: dict[str, Any], rule: str, verdict: str, why: str) -> None:
    found = verdicts(report(**change))[rule]
    assert found[0] == verdict
    assert why in found[1]


def test_a_flat_table_has_no_times_to_prove_anything_with() -> None:
    verdict, why = verdicts(report(leakage=None), flat=True)["leakage proof present"]
    assert verdict == "not applicable"
    assert "flat table" in why


def test_a_card_fails_for_want_of_a_signer_and_for_each_answer_that_is_blank() -> None:
    unsigned = verdicts(report(), signed_by=None)["model card signed"]
    assert unsigned[0] == "fail"
    assert "nobody signed it" in unsigned[1]
    incomplete = verdicts(report(), blank=("intended_use", "funding"))["model card signed"]
    assert incomplete[0] == "fail"
    assert "2 of its answers are blank (--card): intended_use, funding" in incomplete[1]


@pytest.mark.parametrize(("slope", "verdict"), [(0.8, "pass"), (1.25, "pass"), (0.799, "fail"), (1.2501, "fail")])
def test_the_ends_of_the_slopes_range_are_allowed(slope: float, verdict: str) -> None:
    found = report(chosen={"metrics": {"calibration_slope": {"value": slope}}})
    assert verdicts(found)["calibration slope in range"][0] == verdict


@pytest.mark.parametrize(("low", "verdict"), [(1e-9, "pass"), (0.0, "fail")])
def test_an_interval_that_touches_nought_does_not_beat_an_equation(low: float, verdict: str) -> None:
    delta = {"auc": {"value": 0.1, "low": low, "high": 0.2}}
    found = report(equation={"name": "e", "people": 50, "delta": delta})
    assert verdicts(found)["beats the reference equation"][0] == verdict


def test_rules_are_the_studys_data() -> None:
    strict = Gate(calibration_slope=(0.99, 1.01), max_subgroup_gap=0.05, card_signed=False)
    found = verdicts(report(), strict)
    assert found["calibration slope in range"][0] == "fail"
    assert found["no subgroup gap beyond the limit"][0] == "fail"
    assert found["model card signed"][0] == "not applicable"
