"""Numbers about risks against what happened; figures draw them and words put them into sentences elsewhere."""

from training.evaluation.estimate import Estimate
from training.evaluation.evaluate import Ask, curves, difference, evaluate, ici_if_perfect
from training.evaluation.groups import Gap, GroupResult, by_group, largest_gap

__all__ = [
    "Ask",
    "Estimate",
    "Gap",
    "GroupResult",
    "by_group",
    "curves",
    "difference",
    "evaluate",
    "ici_if_perfect",
    "largest_gap",
]
