"""Every candidate on every split: risks of people it has not learned from, and what they are chosen by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.arrays import Floats, Ints, Strings
from features.equations import EQUATIONS
from features.errors import PresageError, meant
from features.progress import Advance
from training.cohort import EVENT, UPDATED, Block, Cohort, RiskCurves, Split, Uncensored, known_by
from training.fitted import SERVABLE, StackFit
from training.fitting import fit_clinical, fit_combined, fit_pair, learned_shape
from training.heldout.plan import Plan
from training.learners import LEARNERS, Budget, Kept, Learner, make_learner, updatable
from training.models import Pair, Shape, grid_of, own_shape
from training.study import Study

# The stack first: it is passed over only where something else is surely better (`training.heldout.choice`).
TIMED_DEFAULT = ("stack", "cox", "xgboost_cox")
BINARY_DEFAULT = ("stack", "logistic", "xgboost")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]*")  # MLflow takes it for a run's name


@dataclass(frozen=True, slots=True)
class Inner:
    """Held-out training rows of one split (n,): squared error at the last horizon, its weight, and whose row it is."""

    squared: Floats
    weight: Floats
    persons: Ints


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Risks of N test rows (a row counts once per split that tests it).

    rows: (N,) cohort rows; fold: (N,) split names. clinical, combined: (N, h); combined is NaN where it may not serve.
    inner: of each split's held-out *training* rows: what chooses a candidate without looking at a test row. pairs: the
    fitted models, one per split. curves: the served risks over a grid of times, None for a binary outcome; shape: what
    they follow between the horizons (`training.models.curves`).
    """

    candidate: str
    rows: Ints
    fold: Strings
    clinical: Floats
    combined: Floats
    inner: tuple[Inner, ...]
    pairs: tuple[Pair, ...]
    curves: RiskCurves | None = None
    shape: str = ""

    @property
    def inner_brier(self) -> float:
        """Mean over splits of the weighted Brier score of held-out training rows."""
        return float(np.mean([np.average(one.squared, weights=one.weight) for one in self.inner]))

    @property
    def served(self) -> Floats:
        """(N, h) the combined risk where there is one, else the clinical."""
        return np.where(np.isnan(self.combined), self.clinical, self.combined)


@dataclass(frozen=True, slots=True)
class Nested:
    """Held-out risks with the blocks up to and including `block`, on the same rows as `HeldOut`."""

    block: Block
    before: tuple[str, ...]
    risk: Floats  # (N, h), NaN where there is no such model
    without: Floats  # (N, h) one block fewer
    why_not: str = ""


def hold_out(
    plan: Plan,
    candidate: str,
    *,
    advance: Advance,
    budget: Budget | None = None,
    learner: Learner | Sequence[Learner] | None = None,
) -> HeldOut:
    """Fit and predict on every split. budget: of a search for settings in each split.

    learner: the one that `candidate` names, where `LEARNERS` does not know it, or one for each split.
    """
    cohort = plan.cohort
    pairs, clinical, combined, curves, shapes = [], [], [], [], []
    learners = learner if isinstance(learner, Sequence) else [learner] * len(plan.scheme.splits)
    for (split, chances), each in zip(plan.parts, learners, strict=True):
        rng = plan.stream(candidate, split.name)
        pair = fit_pair(candidate, cohort, rows=split.train, uncensored=chances, rng=rng, budget=budget, learner=each)
        own, both = pair.risks(cohort, split.test)
        pairs.append(pair)
        clinical.append(own)
        combined.append(both)
        if cohort.outcome.horizons_days:
            shape = _shape(pair, cohort, split=split)
            served = shape.through(np.where(np.isnan(both), own, both), cohort.horizons)
            curves.append(served.probabilities)
            shapes.append(shape.source)
        advance(1)
    inner = [
        _squared_errors(pair, cohort, split=split, uncensored=chances)
        for pair, (split, chances) in zip(pairs, plan.parts, strict=True)
    ]
    splits = plan.scheme.splits
    return HeldOut(
        candidate,
        rows=np.concatenate([split.test for split in splits]),
        fold=np.concatenate([np.full(len(split.test), split.name, dtype=object) for split in splits]),
        clinical=np.concatenate(clinical),
        combined=np.concatenate(combined),
        inner=tuple(inner),
        pairs=tuple(pairs),
        curves=RiskCurves(grid_of(cohort.horizons), np.concatenate(curves)) if curves else None,
        shape="; ".join(sorted(set(shapes))),
    )


def as_members(held: Iterable[HeldOut], candidate: str) -> list[Learner] | None:
    """For each split a learner that gives the candidate's model as a stack has it among its members; None without one.

    So the default candidates, a stack and its members, cost no more than the stack.
    """
    for found in held:
        stacks = [pair.clinical.fitted for pair in found.pairs]
        kept = [Kept(member) for stack in stacks if isinstance(stack, StackFit) for member in stack.members
                if member.name == candidate]  # fmt: skip
        if stacks and len(kept) == len(stacks):
            return list(kept)
    return None


def _shape(pair: Pair, cohort: Cohort, *, split: Split) -> Shape:
    both = np.flatnonzero(cohort.genotyped[split.test])
    dosages = None if cohort.dosages is None else cohort.dosages.take(split.test[both])
    own = own_shape(pair, cohort.frame.take(split.test), horizons_days=cohort.horizons, both=both, dosages=dosages)
    return own or learned_shape(cohort.outcome.take(split.train), cohort.persons[split.train])


def _squared_errors(pair: Pair, cohort: Cohort, *, split: Split, uncensored: Uncensored | None) -> Inner:
    """Weighted by the chance of being followed given covariates, as marginal weights reward predicting censoring."""
    outcome = cohort.outcome.take(split.train)
    if uncensored is None:
        label, weight = outcome.event == EVENT, np.ones(len(outcome))
    else:
        label, weight = known_by(outcome, outcome.horizons_days[-1], uncensored=uncensored)
    return Inner((label - pair.served_out_of_fold()[:, -1]) ** 2, weight, cohort.persons[split.train])


def clinical_of_the_tested(plan: Plan, held: HeldOut) -> Floats:
    """(N, h) what the combined model is compared with: its own second stage without any genomic term.

    So both are learned and calibrated on people with genomic results, and their difference is not who was tested: the
    clinical model is calibrated on everybody, and whoever is tested for a reason may have another risk. NaN where no
    combined model may serve.
    """
    cohort, parts = plan.cohort, []
    for (split, chances), pair in zip(plan.parts, held.pairs, strict=True):
        alone = None
        if pair.combined is not None:
            rng = plan.stream(held.candidate, split.name, "clinical of the tested")
            alone = fit_combined(
                cohort, split.train, clinical=pair.clinical, names=(), uncensored=chances, rng=rng, use_dosages=False
            )
        parts.append(Pair(pair.candidate, pair.clinical, alone).risks(cohort, split.test)[1])
    return np.concatenate(parts)


def nested_blocks(plan: Plan, held: HeldOut, *, reference: Floats, budget: Budget | None = None) -> tuple[Nested, ...]:
    """What each further block adds to the ones before it, in the study's order; clinical blocks come first.

    A clinical block is added by fitting the candidate anew, with a search of its own where there is a budget; a genomic
    one by the combined model, the first of them to `reference`, as `clinical_of_the_tested` gives it. What cannot be
    fitted has NaN for risks, and says why.
    """
    blocks = plan.cohort.blocks
    if len(blocks) < 2:
        return ()
    ordered = [b for b in blocks if not b.genomic] + [b for b in blocks if b.genomic]
    rungs = [tuple(ordered[: k + 1]) for k in range(len(ordered))]
    climb = _Climb(plan, held, budget)
    ladder = [climb.rung(rung) for rung in rungs]
    found = []
    for k in range(1, len(ordered)):
        first = ordered[k].genomic and not ordered[k - 1].genomic
        without = reference if first else ladder[k - 1][0]
        found.append(Nested(ordered[k], tuple(b.name for b in ordered[:k]), ladder[k][0], without, ladder[k][1]))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Climb:
    """The candidate on fewer blocks, on the same splits."""

    plan: Plan
    held: HeldOut
    budget: Budget | None

    def rung(self, blocks: tuple[Block, ...]) -> tuple[Floats, str]:
        """(N, h) risks with these blocks, NaN where there are none, and why."""
        cohort = self.plan.cohort
        genomic = tuple(b for b in blocks if b.genomic)
        if len(genomic) == sum(b.genomic for b in cohort.blocks) and genomic:
            reasons = [pair.why_no_combined for pair in self.held.pairs if pair.combined is None]
            return self.held.combined, next(iter(reasons), "")
        clinical = tuple(name for b in blocks if not b.genomic for name in b.features)
        if not genomic and clinical == cohort.clinical_names:
            return self.held.clinical, ""
        parts, reason = [], ""
        for (split, chances), pair in zip(self.plan.parts, self.held.pairs, strict=True):
            rng = self.plan.stream(self.held.candidate, split.name, *(b.name for b in blocks))
            try:
                parts.append(self._partly_combined(pair, split, genomic=genomic, uncensored=chances, rng=rng) if genomic
                             else self._partly_clinical(split, clinical, uncensored=chances, rng=rng))  # fmt: skip
            except PresageError as error:
                parts.append(np.full((len(split.test), len(cohort.horizons)), np.nan))
                reason = error.fault
        return np.concatenate(parts), reason

    def _partly_clinical(
        self, split: Split, names: tuple[str, ...], *, uncensored: Uncensored | None, rng: np.random.Generator
    ) -> Floats:
        cohort = self.plan.cohort
        candidate, equation = self.held.candidate, cohort.equation
        if candidate == UPDATED:  # the equation is no block: it is there before anything is added
            names = tuple(dict.fromkeys((*names, *EQUATIONS[str(equation)].inputs)))
        learner = make_learner(candidate, monotone=cohort.monotone, budget=self.budget, equation=equation)
        fewer = fit_clinical(learner, cohort, rows=split.train, names=names, uncensored=uncensored, rng=rng)
        return fewer.risk(cohort.frame.take(split.test), cohort.horizons)

    def _partly_combined(
        self,
        pair: Pair,
        split: Split,
        *,
        genomic: tuple[Block, ...],
        uncensored: Uncensored | None,
        rng: np.random.Generator,
    ) -> Floats:
        names = tuple(name for block in genomic for name in block.features)
        use = any(not block.features for block in genomic)
        cohort = self.plan.cohort
        fewer = fit_combined(
            cohort, split.train, clinical=pair.clinical, names=names, uncensored=uncensored, rng=rng, use_dosages=use
        )
        return Pair(pair.candidate, pair.clinical, fewer).risks(cohort, split.test)[1]


def candidates_of(study: Study, cohort: Cohort) -> tuple[str, ...]:
    """The study's candidates, or the stack that suits the outcome and its members.

    Raises PresageError for a name that is not a learner.
    """
    if not study.models.candidates:
        return TIMED_DEFAULT if cohort.outcome.horizons_days else BINARY_DEFAULT
    for name in study.models.candidates:
        if name not in LEARNERS:
            raise PresageError(
                "[models] candidates",
                f"learners among {', '.join(LEARNERS)}",
                found=f"'{name}'",
                way_out=meant(name, LEARNERS),
            )
    if UPDATED in study.models.candidates:
        updatable(cohort.equation, cohort.frame.names)
    if not set(study.models.candidates) & set(SERVABLE):
        raise PresageError(
            "[models] candidates",
            f"at least one that can be served, among {', '.join(SERVABLE)}",
            found="comparators alone",
        )
    return study.models.candidates


def comparators_of(given: Mapping[str, Any], cohort: Cohort) -> dict[str, Learner]:
    """Learners of scikit-learn estimators, by name. Raises PresageError for one that cannot take part."""
    if not given:
        return {}
    from training.learners import comparators

    made = comparators(given)
    for name, learner in made.items():
        if name in LEARNERS or not NAME.fullmatch(str(name)):
            raise PresageError(
                f"candidates['{name}']",
                f"a name of letters, digits, blanks, dots, hyphens and underscores, unlike {', '.join(LEARNERS)}",
                way_out="rename it",
            )
        learner.check(cohort.outcome)
    return dict(made)
