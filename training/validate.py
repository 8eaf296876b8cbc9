"""`presage validate`: a model as it is, on people it was not made for. Nothing is fitted, nothing of the model changes.

Estimand: the performance of the served risk among the other source's people who meet the study's own definition and
can be scored. Intervals resample people; censoring weights are learned on these people, given the clinical features.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from threadpoolctl import threadpool_limits

from features.errors import PresageError
from features.progress import Progress, silent
from features.shown import Shown
from training.bundle import Bundle
from training.card import unreachable_words
from training.cohort import EVENT, Cohort
from training.disclosure import shown_steps, suppress
from training.elsewhere import Elsewhere, drift, drift_sentence, read_elsewhere, recalibration, sentence
from training.evaluation import shown_groups, shown_metrics, shown_with_ici
from training.external import ExternalResult
from training.fitting import followed
from training.heldout import (
    SERVED,
    Bench,
    against_equation,
    figure_numbers,
    group_results,
    horizon_key,
)
from training.models import LEARNED_FROM, Shape, own_shape
from training.registry import find, log_validation, moment
from training.report import estimates_table, models_table
from training.result import Metrics, Result

FEWEST_EVENTS = 10


@dataclass(frozen=True, slots=True, repr=False)
class External(Shown):
    """What a validation found, as a table and in print; internal: the training's own metrics beside it."""

    result: ExternalResult
    internal: Metrics

    @property
    def document(self) -> dict[str, Any]:
        """The result as JSON, as `presage validate --json` writes it."""
        return self.result.to_json()

    def metrics(self) -> pd.DataFrame:
        """The served risk's metrics there, at the last horizon: value, low, high, by metric."""
        return estimates_table(self.result.metrics)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The sentence, both performances, recalibration, coverage, who was not scored."""
        result = self.result
        yield result.sentence
        title = f"{result.model} on {result.source}: {result.people:,} people"
        yield models_table(title, {"internal": self.internal, "external": result.metrics}, first="people")
        yield f"Recalibration: {result.recalibration.sentence}"
        yield f"Coverage: {result.drift_sentence}"
        for note in result.notes:
            yield f"Note: {note}"
        for reason, rows in result.left_out.items():
            yield f"Not scored: {reason} ({'1 to 10' if rows is None else f'{rows:,}'} rows)"
        if result.run_id:
            yield f"MLflow run {result.run_id}"


@dataclass(frozen=True, slots=True)
class Named:
    """What was validated, on whom, by whom and when: model and version, None for a folder; at: UTC, to the second."""

    model: str
    version: int | None
    source: str
    by: str | None
    at: str


def validate(
    target: str,
    version: str = "champion",
    *,
    now: datetime,
    record_dir: Path | None = None,
    table: Path | pd.DataFrame | None = None,
    source: str | None = None,
    by: str | None = None,
    json_out: Path | None = None,
    seed: int = 7,
    progress: Progress = silent,
) -> External:
    """Apply a version, or a bundle's folder, to another record or table; logged beside the version's training run.

    source: how the other people are called; by: who validates. Raises PresageError where nobody can be scored, or too
    few have the event.
    """
    bundle, model, number = find(target, version)
    home = bundle.report()
    called = source or ("another record" if record_dir is not None else "another table")
    named = Named(model or bundle.name, number, called, by, moment(now))
    with threadpool_limits(1, user_api="blas"):
        there = read_elsewhere(bundle, record_dir=record_dir, table=table, progress=progress)
        with progress("scoring and measuring"):
            result = measure(bundle, there, home=home, named=named, seed=seed)
    if model is not None and number is not None:
        result = result.model_copy(update={"run_id": log_validation(model, number, found=result)})
    if json_out is not None:
        result.write(json_out)
    return External(result, home.chosen.metrics)


def measure(bundle: Bundle, there: Elsewhere, *, home: Result, named: Named, seed: int) -> ExternalResult:
    """Numbers of the served risk on the rows that can be scored. home: the training's result."""
    study, cohort = there.study, there.cohort
    answer = bundle.risk(cohort.frame, there.dosages)
    rows = np.flatnonzero(answer.not_scored == "")
    _enough(bundle, cohort, rows=rows)
    bench = _bench(home, cohort, rows=rows, n_boot=study.validation.bootstraps, seed=seed)
    risk = answer.risk[rows]
    shape = _shape(bundle, there, home=home, rows=rows, combined=answer.model[rows] == "combined")
    curves = None if shape is None else shape.through(risk, cohort.horizons)
    measured = bench.measure(risk, integrated=True, curves=curves)
    metrics = shown_with_ici(measured, if_perfect=bench.ici_if_perfect(risk))
    groups, gaps = group_results(bench, cohort, risk=risk, min_people=study.equity.min_people)
    moved = drift(cohort.frame.take(rows), bundle.reference())
    event = cohort.outcome.event[rows] == EVENT
    return ExternalResult(
        format=ExternalResult.VERSION,
        study=study.name,
        people=bench.people,
        rows=len(rows),
        events=len(np.unique(cohort.persons[rows][event])),
        attrition=shown_steps(cohort.attrition),
        left_out=_counted(answer.not_scored[answer.not_scored != ""]),
        served_by=_counted(answer.model[rows]),
        metrics=metrics,
        curves_follow=None if shape is None else shape.source,
        horizons={
            horizon_key(days): shown_metrics(bench.measure(risk, i)) for i, days in enumerate(bundle.horizons_days)
        },
        groups={name: shown_groups(levels) for name, levels in groups.items()},
        gaps=gaps,
        equation=against_equation(bench, risk, references=there.references),
        recalibration=recalibration(bench, risk[:, -1], metrics=metrics),
        figures=figure_numbers(bench, {SERVED: risk}),
        drift=moved,
        drift_sentence=drift_sentence(moved, len(bundle.names)),
        notes=(*cohort.notes, *reach_notes(bench), *_period_notes(bundle)),
        sentence=sentence(home.chosen.metrics, metrics),
        bootstraps=study.validation.bootstraps,
        seed=seed,
        model=named.model,
        version=named.version,
        bundle_digest=bundle.digest,
        source=named.source,
        by=named.by,
        at=named.at,
    )


def reach_notes(bench: Bench) -> list[str]:
    """How many of the rows measured on cannot be followed to the last horizon, and what that means."""
    if bench.uncensored is None:
        return []
    out = int((~bench.uncensored.reaches(-1)).sum())
    said = unreachable_words(out, len(bench.rows), days=bench.days)
    return [f"{said}: they count in concordance, and in nothing that is measured by the horizon"] if said else []


def _period_notes(bundle: Bundle) -> list[str]:
    factor = bundle.pair.clinical.calibration.calibrators[-1].hazard
    if factor == 1.0:
        return []
    return [
        f"served risks follow the last years where the model was made: hazards there are multiplied by {factor:.2f}"
    ]


def _enough(bundle: Bundle, cohort: Cohort, *, rows: npt.NDArray[np.int64]) -> None:
    if len(rows) == 0:
        raise PresageError(bundle.name, "at least one person there who can be scored", found="nobody")
    events = int((cohort.outcome.event[rows] == EVENT).sum())
    if events < FEWEST_EVENTS:
        raise PresageError(bundle.name, f"at least {FEWEST_EVENTS} events there", found="fewer")


def _bench(home: Result, cohort: Cohort, *, rows: npt.NDArray[np.int64], n_boot: int, seed: int) -> Bench:
    """These rows, measured at the cut-offs and capacities of the training."""
    return Bench(
        rows,
        cohort.outcome.take(rows),
        cohort.persons[rows],
        followed(cohort, rows),
        n_boot,
        seed,
        home.validation.cutoffs,
        home.validation.capacities,
    )


def _shape(
    bundle: Bundle,
    there: Elsewhere,
    *,
    home: Result,
    rows: npt.NDArray[np.int64],
    combined: npt.NDArray[np.bool_],
) -> Shape | None:
    """What risks follow between the horizons: nothing that is learned here."""
    cohort = there.cohort
    if not cohort.outcome.horizons_days:
        return None
    both = np.flatnonzero(combined)
    called = None if there.dosages is None else there.dosages.take(rows[both])
    own = own_shape(bundle.pair, cohort.frame.take(rows), horizons_days=cohort.horizons, both=both, dosages=called)
    stored = home.incidence
    if own is not None or stored is None:
        return own
    return Shape(stored.days, np.array([stored.risk]), LEARNED_FROM)


def _counted(words: npt.NDArray[np.object_]) -> dict[str, int | None]:
    """How many rows say which; None where that may not be told."""
    names, counts = np.unique(words.astype(str), return_counts=True)
    if len(names) == 0:
        return {}
    shown = suppress([counts.tolist()]).cells[0]
    return dict(zip(names.tolist(), shown, strict=True))
