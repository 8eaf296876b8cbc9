"""The model card, filled from the run; what only a person can say is left visibly blank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.study import Study

BLANK = "**[blank: only a person can say this]**"
NEEDED = ("intended_use", "intended_users", "out_of_scope", "contact", "limits")


def card_blanks(study: Study) -> list[str]:
    """What the card still needs from a person before promotion."""
    return [name for name in NEEDED if not (getattr(study.card, name) or "").strip()]


def card_markdown(study: Study, document: Mapping[str, Any]) -> str:
    """Markdown: what it is for, whom it was learned from, how well it does, for whom it does worse."""
    said = {name: getattr(study.card, name) or BLANK for name in type(study.card).model_fields}
    metrics = document["chosen"]["metrics"]
    lines = [
        f"# {study.title or study.name}",
        "",
        f"- **Intended use**: {said['intended_use']}",
        f"- **Intended users**: {said['intended_users']}",
        f"- **Out of scope**: {said['out_of_scope']}",
        f"- **Known limits**: {said['limits']}",
        f"- **Contact**: {said['contact']}",
        f"- **Signed by**: {said['signed_by']}",
        "",
        "## Learned from",
        "",
        f"{document['people']:,} people, {document['events']:,} with the event; {document['validation']['scheme']}.",
        "",
        "| step | people | rows |",
        "|---|---:|---:|",
        *(f"| {step['step']} | {step['people']:,} | {step['rows']:,} |" for step in document["attrition"]),
        "",
        f"## Performance ({document['chosen']['candidate']})",
        "",
        "| metric | value | 95 % interval |",
        "|---|---:|---|",
        *(f"| {name.replace('_', ' ')} | {_number(m['value'])} | {_interval(m)} |" for name, m in metrics.items()),
        "",
        *(f"- {block['sentence']}" for block in document["blocks"]),
    ]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"


def _interval(metric: Mapping[str, float | None]) -> str:
    low, high = metric["low"], metric["high"]
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"
