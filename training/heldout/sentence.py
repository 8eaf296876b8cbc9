"""Numbers in words: what a block adds, in one plain sentence that may say it adds nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from training.evaluation import Estimate

NAMES = {"c_harrell": "the C-index over all follow-up", "auc": "the AUC", "brier": "the Brier score"}


def block_sentence(
    added: str, to: Sequence[str], *, people: int | None, delta: Mapping[str, Estimate], why_not: str = ""
) -> str:
    """A gain is claimed only where the paired 95 % interval of discrimination lies above zero.

    people: None where their number is not shown. why_not: why there is no difference to speak of.
    """
    beyond = f"Beyond {' and '.join(to)}, {added}"
    if not delta:
        return f"{beyond} cannot be judged here: {why_not.rstrip('.')}."
    metric = "c_harrell" if "c_harrell" in delta else "auc"
    change = delta[metric]
    who = "the people" if people is None else f"{people:,} people"
    numbers = f"{NAMES[metric]} changes by {_interval(change)} among {who} who have it"
    if math.isnan(change.value):
        return f"{beyond} cannot be judged here: {NAMES[metric]} is not defined, too few had the event."
    if math.isnan(change.low):
        return f"{beyond} cannot be judged here: {NAMES[metric]} changes by {change.value:+.3f}, without an interval."
    if change.low > 0:
        return f"{beyond} adds discrimination: {numbers}."
    if change.high < 0:
        return f"{beyond} adds nothing here and does harm: {numbers}."
    return f"{beyond} adds nothing here: {numbers}."


def _interval(change: Estimate) -> str:
    return f"{change.value:+.3f} (95 % interval {change.low:+.3f} to {change.high:+.3f})"
