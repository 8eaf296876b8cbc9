"""What a model adds, in one sentence for whoever decides whether to use it: perhaps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from training.card import count, estimate_words

Document = Mapping[str, Any]
CHANCE = 0.5
SERVED = "as served"


@dataclass(frozen=True, slots=True)
class Verdict:
    """adds: whether anything is shown to be gained by using the model. words: the same for a reader in a hurry."""

    adds: Literal["nothing", "unsure", "something"]
    words: str


def bottom_line(document: Document) -> Verdict:
    """Judged by intervals on people held out, in this order: against chance, against the published equation, and at the
    study's cut-offs against looking at nobody or at everybody. Nothing is said to be added that could be chance.
    """
    auc = document["chosen"]["metrics"].get("auc") or {}
    if auc.get("low") is None:
        return Verdict("unsure", "It is not known whether this model adds anything: its AUC has no interval.")
    if auc["low"] <= CHANCE:
        often = "no more often than" if auc["high"] >= CHANCE else "less often than"
        lots = f"those it ranks highest have the outcome {often} people drawn by lot"
        words = f"{lots} (AUC {estimate_words(auc)}, where 0.5 is chance)"
        return Verdict("nothing", f"This model adds nothing: {words}. It should not be used to choose people.")
    equation = document.get("equation") or {}
    delta = equation.get("delta", {}).get("auc") or {}
    beside = ""
    if delta.get("low") is not None:
        who = f"the published equation ({equation['name']})"
        beside = f"{who} on the same {count(equation['people'])} people: AUC changes by {estimate_words(delta)}"
        if delta["high"] < 0:
            words = f"It ranks people worse than {beside}"
            return Verdict("nothing", f"This model adds nothing. {words}. The equation should be used instead.")
    useless = [cutoff for cutoff in document["validation"].get("cutoffs") or () if _useless(document, cutoff)]
    if useless:
        at = ", ".join(f"{100 * cutoff:g} %" for cutoff in useless)
        words = f"Acting on those above {at} does no more good than the better of acting on nobody and on everybody"
        return Verdict("nothing", f"This model adds nothing at the risk at which one would act. {words}.")
    known = f"It tells people who will have the outcome from the others better than chance (AUC {estimate_words(auc)})"
    if beside and delta["low"] <= 0:
        words = f"It is not surely better than {beside}. The equation needs no upkeep"
        return Verdict("unsure", f"It is not shown that this model adds anything to what is published. {words}.")
    if beside:
        return Verdict("something", f"{known}, and better than {beside}.")
    return Verdict("something", f"{known}. No published equation was there to compare it with.")


def _useless(document: Document, cutoff: float) -> bool:
    """Whether the net benefit at a cut-off, as drawn, is no higher than of acting on nobody (0) or on everybody."""
    decision = (document.get("figures") or {}).get("decision") or {}
    served = (decision.get("models") or {}).get(SERVED)
    if served is None or not decision["thresholds"][0] <= cutoff <= decision["thresholds"][-1]:
        return False
    model, everybody = (
        np.interp(cutoff, decision["thresholds"], np.array(curve, dtype=np.float64))
        for curve in (served, decision["treat_all"])
    )
    return bool(np.isfinite(model) and model <= max(0.0, everybody))
