"""What a model adds, in one sentence for whoever decides whether to use it: perhaps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.card import count, estimate_words
from training.result import IMPLAUSIBLE_AUC, Metric, Result, Suspect, known

CHANCE = 0.5
SERVED = "as served"
SHOWN = 5  # suspects that the sentence names


@dataclass(frozen=True, slots=True)
class Verdict:
    """adds: whether anything is shown to be gained by using the model. words: the same for a reader in a hurry."""

    adds: Literal["nothing", "unsure", "something"]
    words: str


def bottom_line(result: Result) -> Verdict:
    """Judged by intervals on people held out, in this order: against chance, against the published equation, and at the
    study's cut-offs against looking at nobody or at everybody. Nothing is said to be added that could be chance, or
    that a feature may add which knows the outcome.
    """
    found = _by_intervals(result)
    suspects = () if result.data is None else result.data.suspects or ()
    unexplained = [one for one in suspects if one.reason is None]
    if unexplained:
        return _doubtful(found, unexplained, auc=known(result.chosen.metrics, "auc"))
    if suspects:
        return Verdict(found.adds, f"{found.words} Looks like the outcome: {_listed(suspects)}.")
    auc = known(result.chosen.metrics, "auc")
    if found.adds == "something" and auc is not None and (auc.value or 0) > IMPLAUSIBLE_AUC:
        words = "A discrimination so high is rarely true: look for a feature that is known only after the outcome."
        return Verdict("unsure", f"{found.words} {words}")
    return found


def _doubtful(found: Verdict, suspects: Sequence[Suspect], *, auc: Metric | None) -> Verdict:
    """What intervals show counts for little where a feature may know the outcome; that nothing is shown counts."""
    words = f"{_listed(suspects)}. Leave out what is known only after the index, and train again"
    if found.adds == "nothing":
        return Verdict("nothing", f"{found.words} Looks like the outcome: {words}.")
    numbers = "" if auc is None else f" (AUC {estimate_words(auc)})"
    begin = "It cannot be said what this model adds, as some of its features look like the outcome"
    return Verdict("unsure", f"{begin}{numbers}: {words}.")


def _listed(suspects: Sequence[Suspect]) -> str:
    more = len(suspects) - SHOWN
    return "; ".join([*(one.said for one in suspects[:SHOWN]), *([f"and {more} more"] if more > 0 else [])])


def _by_intervals(result: Result) -> Verdict:
    auc = known(result.chosen.metrics, "auc")
    if auc is None or auc.interval is None:
        return Verdict("unsure", "It is not known whether this model adds anything: its AUC has no interval.")
    low, high = auc.interval
    if low <= CHANCE:
        often = "no more often than" if high >= CHANCE else "less often than"
        lots = f"those it ranks highest have the outcome {often} people drawn by lot"
        words = f"{lots} (AUC {estimate_words(auc)}, where 0.5 is chance)"
        return Verdict("nothing", f"This model adds nothing: {words}. It should not be used to choose people.")
    beside, gain = _beside_the_equation(result)
    if gain is not None and gain[1] < 0:
        words = f"It ranks people worse than {beside}"
        return Verdict("nothing", f"This model adds nothing. {words}. The equation should be used instead.")
    useless = [cutoff for cutoff in result.validation.cutoffs if _useless(result, cutoff)]
    if useless:
        at = ", ".join(f"{100 * cutoff:g} %" for cutoff in useless)
        words = f"Acting on those above {at} does no more good than the better of acting on nobody and on everybody"
        return Verdict("nothing", f"This model adds nothing at the risk at which one would act. {words}.")
    better = f"It tells people who will have the outcome from the others better than chance (AUC {estimate_words(auc)})"
    if gain is not None and gain[0] <= 0:
        words = f"It is not surely better than {beside}. The equation needs no upkeep"
        return Verdict("unsure", f"It is not shown that this model adds anything to what is published. {words}.")
    if gain is not None:
        return Verdict("something", f"{better}, and better than {beside}.")
    return Verdict("something", f"{better}. No published equation was there to compare it with.")


def _beside_the_equation(result: Result) -> tuple[str, tuple[float, float] | None]:
    """The comparison in words, and the interval of the gain in AUC; empty and None where there is none."""
    equation = result.equation
    delta = None if equation is None else known(equation.delta, "auc")
    if equation is None or delta is None or delta.interval is None:
        return "", None
    who = f"the published equation ({equation.name}) on the same {count(equation.people)} people"
    return f"{who}: AUC changes by {estimate_words(delta)}", delta.interval


def _useless(result: Result, cutoff: float) -> bool:
    """Whether the net benefit at a cut-off, as drawn, is no higher than of acting on nobody (0) or on everybody."""
    decision = None if result.figures is None else result.figures.decision
    served = None if decision is None else decision.models.get(SERVED)
    if decision is None or served is None or not decision.thresholds[0] <= cutoff <= decision.thresholds[-1]:
        return False
    model, everybody = (
        np.interp(cutoff, decision.thresholds, np.array(curve, dtype=np.float64))
        for curve in (served, decision.treat_all)
    )
    return bool(np.isfinite(model) and model <= max(0.0, everybody))
