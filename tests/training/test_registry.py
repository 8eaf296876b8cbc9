"""The gate's rules as a table: a report, the study's rule, the verdict and the words."""

from typing import Any

import pytest

from training.registry import gate
from training.study import Gate


def report(**changes: Any) -> dict[str, Any]:
    interval = {"value": 0.05, "low": 0.01, "high": 0.09}
    return {
        "chosen": {"metrics": {"calibration_slope": {"value": 1.02}}},
        "equation": {"name": "prevent_chd_10y", "people": 900, "delta": {"auc": interval}},
        "gaps": {"sex": {"auc": 0.04, "low": 0.01}, "site": {"auc": 0.12, "low": 0.06}},
        "leakage": {"passed": True, "sentence": "no canary moved"},
        "card": {"signed_by": "demo", "blank": []},
    } | changes


def verdicts(found: dict[str, Any], rules: Gate | None = None) -> dict[str, tuple[str, str]]:
    return {rule.name: (rule.verdict, rule.why) for rule in gate(found, rules or Gate())}


def test_a_report_that_meets_every_rule_passes() -> None:
    assert {verdict for verdict, _ in verdicts(report()).values()} == {"pass"}


@pytest.mark.parametrize(
    ("change", "rule", "verdict", "why"),
    [
        ({"equation": None}, "beats the reference equation", "not applicable", "no equation"),
        (
            {"equation": {"people": 9, "delta": {"auc": {"value": 0.02, "low": -0.01, "high": 0.05}}}},
            "beats the reference equation", "fail", "+0.020 (-0.010 to +0.050) on 9 people",
        ),
        ({"equation": {"people": 0, "delta": {}, "reason": "another horizon"}}, "beats the reference equation",
         "not applicable", "another horizon"),
        ({"chosen": {"metrics": {"calibration_slope": {"value": 0.7}}}}, "calibration slope in range", "fail",
         "outside by 0.10"),
        ({"gaps": {"site": {"auc": 0.3, "low": 0.2}}}, "no subgroup gap beyond the limit", "fail", "by site"),
        ({"gaps": {}}, "no subgroup gap beyond the limit", "not applicable", "two levels"),
        ({"leakage": {"passed": False, "sentence": "3 features moved"}}, "leakage proof present", "fail", "3 features"),
        ({"leakage": None}, "leakage proof present", "not applicable", "flat table"),
        ({"card": {"signed_by": None, "blank": ["intended_use"]}}, "model card signed", "fail",
         "a signer, intended use"),
    ],
)  # fmt: skip
def test_a_rule_that_fails_or_cannot_apply_says_why(change: dict[str, Any], rule: str, verdict: str, why: str) -> None:
    found = verdicts(report(**change))[rule]
    assert found[0] == verdict
    assert why in found[1]


def test_rules_are_the_studys_data() -> None:
    strict = Gate(calibration_slope=(0.99, 1.01), max_subgroup_gap=0.05, card_signed=False)
    found = verdicts(report(), strict)
    assert found["calibration slope in range"][0] == "fail"
    assert found["no subgroup gap beyond the limit"][0] == "fail"
    assert found["model card signed"][0] == "not applicable"
