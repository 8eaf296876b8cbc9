"""The result of a training (contract 5): every number on held-out people, put together once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from training.card import unreachable_words
from training.cohort import EVENT, Cohort, References
from training.disclosure import shown_part, shown_steps
from training.evaluation import finite, shown_groups, shown_with_ici
from training.fitting import Period, learned_shape
from training.heldout.bench import (
    Bench,
    against_equation,
    group_results,
    horizon_key,
    side_by_side,
    usual_cutoffs,
)
from training.heldout.blocks import added_by
from training.heldout.candidates import HeldOut, Nested
from training.heldout.evidence import code_digest, data_facts
from training.heldout.figures import SERVED, figure_numbers, times_numbers
from training.heldout.folds import estimand_words, fold_numbers
from training.heldout.importance import importance
from training.heldout.period import period_followed
from training.heldout.plan import Plan
from training.heldout.sites import by_site, site_notes
from training.models import Pair
from training.result import (
    AgainstEquation,
    Chosen,
    Compared,
    Figures,
    Incidence,
    LeakageProof,
    Metrics,
    PeriodFollowed,
    Result,
    Tuned,
    Validation,
)
from training.study import Study, TimeUnit

REFITTED = "clinical refitted"


@dataclass(frozen=True, slots=True)
class Fits:
    """Whatever was fitted, for the result to be measured on.

    held: every candidate on every split. chosen: the one among them that is served. tested: (N, h) risks of the
    clinical score refitted to people with genomic results. nested: the chosen one with fewer blocks. others: it fitted
    anew to other draws of people, where there is one split. periods: by horizon, the hazards of the last years.
    """

    held: Mapping[str, HeldOut]
    chosen: HeldOut
    tested: Floats
    nested: Sequence[Nested]
    others: Sequence[Pair] = ()
    periods: Sequence[Period] = ()


def result_of(
    plan: Plan,
    fits: Fits,
    *,
    references: References,
    leakage: LeakageProof | None = None,
    tuning: Mapping[str, Tuned] | None = None,
) -> Result:
    """Measure the fits on the people held out.

    leakage: None for a flat table. tuning: None where no settings were searched for.
    """
    study, cohort, chosen = plan.study, plan.cohort, fits.chosen
    bench = _bench(plan, chosen)
    groups, gaps = group_results(bench, cohort, risk=chosen.served, min_people=study.equity.min_people)
    candidates = {name: _by_horizon(bench, cohort, held=held) for name, held in fits.held.items()}
    period, period_notes = _period(plan, fits)
    sites = None if study.validation.site_column is None else by_site(plan, chosen)
    site_words = [] if sites is None else site_notes(sites)
    return Result(
        version=Result.VERSION,
        study=study.name,
        title=study.title,
        kind=study.kind,
        people=len(np.unique(cohort.persons)),
        rows=len(cohort),
        events=_people(cohort, cohort.outcome.event == EVENT),
        events_by_horizon=_by_the_horizon(cohort),
        time_unit=_unit(study) if cohort.outcome.horizons_days else None,
        attrition=shown_steps(cohort.attrition),
        validation=_validation(plan, bench, refits=len(fits.others)),
        chosen=Chosen(
            candidate=chosen.candidate,
            horizon_days=finite(cohort.horizons[-1]),
            curves_follow=chosen.shape or None,
            ibs_days=_ibs_days(chosen),
            metrics=list(candidates[chosen.candidate].values())[-1],
        ),
        candidates=candidates,
        folds=fold_numbers(plan, fits.held),
        incidence=_incidence(plan),
        inner_brier={name: held.inner_brier for name, held in fits.held.items()},
        comparison=_comparison(bench, chosen, tested=fits.tested, references=references),
        equation=_against_equation(bench, chosen, references=references),
        importance=importance(plan, chosen, others=fits.others),
        blocks=added_by(bench, fits.nested, cohort=cohort, min_people=study.equity.min_people),
        groups={name: shown_groups(levels) for name, levels in groups.items()},
        gaps=gaps,
        notes=(*_notes(plan, chosen), *_truth_notes(bench, references), *reach_notes(plan), *period_notes, *site_words),
        seed=plan.seed,
        study_digest=study.digest(),
        data=data_facts(plan),
        figures=_figures(plan, chosen, references=references, bench=bench),
        code_digest=code_digest(),
        period=period,
        sites=sites,
        leakage=leakage,
        tuning=tuning,
    )


def _bench(plan: Plan, chosen: HeldOut) -> Bench:
    wanted = plan.study.validation
    return Bench.of(plan, chosen, cutoffs=wanted.cutoffs or usual_cutoffs(plan), capacities=wanted.capacities)


def _validation(plan: Plan, bench: Bench, *, refits: int) -> Validation:
    persons = plan.cohort.persons
    return Validation(
        scheme=plan.scheme.words,
        splits=len(plan.scheme.splits),
        train_people=len(np.unique(persons[plan.learned_rows])),
        test_people=len(np.unique(persons[plan.tested_rows])),
        test_rows=len(plan.tested_rows),
        bootstraps=plan.study.validation.bootstraps,
        estimates=estimand_words(plan),
        cutoffs=bench.cutoffs,
        capacities=bench.capacities,
        refits=refits,
    )


def _ibs_days(chosen: HeldOut) -> tuple[float, float] | None:
    """From the first to the last time at which the Brier score over time is taken."""
    return None if chosen.curves is None else (chosen.curves.horizons_days[0], chosen.curves.horizons_days[-1])


def _people(cohort: Cohort, rows: npt.NDArray[np.bool_]) -> int:
    return len(np.unique(cohort.persons[rows]))


def _by_the_horizon(cohort: Cohort) -> int | None:
    """People with the event by the last horizon, hidden where the rest of those with the event are 1 to 10."""
    outcome = cohort.outcome
    if not outcome.horizons_days:
        return None
    event = outcome.event == EVENT
    by = _people(cohort, event & (outcome.time_days <= outcome.horizons_days[-1]))
    return shown_part(by, _people(cohort, event))


def _unit(study: Study) -> TimeUnit | Literal["unknown"]:
    """What the table's times are counted in: days where its horizons are named in days or codes have dates."""
    section = study.outcome
    if section.time_unit is not None:
        return section.time_unit
    return "days" if section.horizons_days or not study.is_flat else "unknown"


def _incidence(plan: Plan) -> Incidence | None:
    """Among the rows learned from, over time: what curves follow where a learner knows the horizons alone."""
    cohort, rows = plan.cohort, plan.learned_rows
    if not cohort.outcome.horizons_days:
        return None
    shape = learned_shape(cohort.outcome.take(rows), cohort.persons[rows])
    return Incidence(days=shape.times_days, risk=tuple(round(float(risk), 5) for risk in shape.risks[0]))


def _by_horizon(bench: Bench, cohort: Cohort, *, held: HeldOut) -> dict[str, Metrics]:
    found: dict[str, Metrics] = {}
    for i, days in enumerate(cohort.horizons):
        measured = bench.measure(held.served, i, integrated=True, curves=held.curves)
        found[horizon_key(days)] = shown_with_ici(measured, if_perfect=bench.ici_if_perfect(held.served, i))
    return found


def _figures(plan: Plan, chosen: HeldOut, *, references: References, bench: Bench) -> Figures:
    drawn = figure_numbers(bench, model_risks(chosen, references))
    return drawn.model_copy(update={"over_time": times_numbers(plan, chosen)})


def _period(plan: Plan, fits: Fits) -> tuple[PeriodFollowed | None, list[str]]:
    if not fits.periods:
        return None, []
    return period_followed(plan, fits.chosen, found=fits.periods)


def model_risks(chosen: HeldOut, references: References) -> dict[str, Floats]:
    """(N, 1 or h) of every model on the test rows; the order is the table's."""
    risks = {"clinical": chosen.clinical, "combined": chosen.combined, SERVED: chosen.served}
    for name, found in (("equation", references.equation), ("oracle", references.oracle)):
        if found is not None:
            risks[name] = found[chosen.rows][:, None]
    return risks


def _comparison(bench: Bench, chosen: HeldOut, *, tested: Floats, references: References) -> dict[str, Compared]:
    """Clinical, combined, equation and oracle on the same test people.

    tested: the clinical score refitted to people with genomic results; what genomics adds is the distance to it, as
    the clinical model is calibrated on everybody.
    """
    risks = model_risks(chosen, references)
    risks = {"clinical": risks.pop("clinical"), REFITTED: tested, **risks}
    everyone = _with_truth(bench, references)
    genomic = everyone & ~np.isnan(chosen.combined[:, -1])
    known = everyone if references.equation is None else everyone & ~np.isnan(references.equation[bench.rows])
    sets: list[tuple[str, str, npt.NDArray[np.bool_]]] = [("everyone", "All test people", everyone)]
    if genomic.any():
        sets.append(("genomic", "Test people with genomic results", genomic))
    if references.equation is not None and known.any() and (known != everyone).any():
        sets.append(("equation", "Test people the equation applies to", known))
        if (known & genomic).any():
            sets.append(("genomic_equation", "With genomic results, and the equation applies", known & genomic))
    found: dict[str, Compared] = {}
    for key, title, rows in sets:
        wanted = {name: risk for name, risk in risks.items() if "genomic" in key or name not in ("combined", REFITTED)}
        if "genomic" in key or not genomic.any():
            wanted.pop(SERVED)
        compared = side_by_side(bench, wanted, rows=rows, title=title)
        if compared is not None:
            found[key] = compared
    return found


def _with_truth(bench: Bench, references: References) -> npt.NDArray[np.bool_]:
    """(N,) test rows; only those a simulation knows the true risk of, where it does: it knows who is ill unrecorded."""
    everyone = np.ones(len(bench.rows), dtype=np.bool_)
    if references.oracle is None:
        return everyone
    known = ~np.isnan(references.oracle[bench.rows])
    return known if known.any() else everyone


def _against_equation(bench: Bench, chosen: HeldOut, *, references: References) -> AgainstEquation | None:
    name = references.equation_name
    if name is not None and references.equation is None:
        return AgainstEquation(name=name, people=0, delta={}, reason="another horizon than the study's")
    return against_equation(bench, chosen.served, references=references, nobody="it applies to nobody here")


def _notes(plan: Plan, chosen: HeldOut) -> list[str]:
    reasons = sorted({pair.why_no_combined for pair in chosen.pairs if pair.combined is None})
    return [*plan.cohort.notes, *plan.scheme.notes, *(f"no combined model: {reason}" for reason in reasons)]


def reach_notes(plan: Plan) -> list[str]:
    """How many of the rows learned from cannot be followed to the last horizon, and what that means."""
    out = [split.train[~chances.reaches(-1)] for split, chances in plan.parts if chances is not None]
    left_out = len(np.unique(np.concatenate(out))) if out else 0
    unit = _unit(plan.study)
    words = unreachable_words(left_out, len(plan.learned_rows), days=plan.cohort.horizons[-1], unit=unit)
    why = "left out of learning at that horizon, of recalibration and of what is measured by it"
    return [f"{words}: {why}; risks like theirs are extrapolated"] if words else []


def _truth_notes(bench: Bench, references: References) -> list[str]:
    if references.oracle is None:
        return []
    unknown = int(np.isnan(references.oracle[bench.rows]).sum())
    if unknown == 0:
        return []
    said = f"the truth knows no risk of {unknown:,} of {len(bench.rows):,} test rows (ill, but not yet recorded)"
    return [
        said if unknown < len(bench.rows) else "the truth file is not of this record: it knows none of the test rows"
    ]
