"""`presage validate`: a model as it is, on people it was not made for. Nothing is fitted, nothing of the model changes.

Estimand: the performance of the served risk among the other source's people who meet the study's own definition and
can be scored. Intervals resample people; censoring weights are learned on these people, given the clinical features.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from threadpoolctl import threadpool_limits

from features.arrays import Floats
from features.errors import PresageError
from features.progress import Progress, silent
from features.shown import Shown
from features.writing import write_text
from training.bundle import Bundle
from training.card import unreachable_words
from training.cohort import EVENT, Cohort, Dosages, References
from training.disclosure import shown_steps, suppress
from training.elsewhere import Elsewhere, drift, drift_sentence, read_elsewhere, recalibration, sentence
from training.evaluation import finite, groups_json, metrics_json
from training.fitting import followed
from training.heldout import SERVED, Bench, figure_numbers, group_results
from training.models import LEARNED_FROM, Shape, own_shape
from training.registry import find, log_validation
from training.report import estimates_table, models_table

FEWEST_EVENTS = 10


@dataclass(frozen=True, slots=True, repr=False)
class External(Shown):
    """What a validation found. `document` is the JSON; it holds aggregates only."""

    document: dict[str, Any]
    internal: Mapping[str, Any]

    def metrics(self) -> pd.DataFrame:
        """The served risk's metrics there, at the last horizon: value, low, high, by metric."""
        return estimates_table(self.document["metrics"])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The sentence, both performances, recalibration, coverage, who was not scored."""
        d = self.document
        yield d["sentence"]
        title = f"{d['model']} on {d['source']}: {d['people']:,} people"
        yield models_table(title, {"internal": self.internal, "external": d["metrics"]}, first="people")
        yield f"Recalibration: {d['recalibration']['sentence']}"
        yield f"Coverage: {d['drift_sentence']}"
        for note in d["notes"]:
            yield f"Note: {note}"
        for reason, rows in d["left_out"].items():
            yield f"Not scored: {reason} ({'1 to 10' if rows is None else f'{rows:,}'} rows)"
        if d.get("run_id"):
            yield f"MLflow run {d['run_id']}"


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
    with threadpool_limits(1, user_api="blas"):
        there = read_elsewhere(bundle, record_dir=record_dir, table=table, progress=progress)
        with progress("scoring and measuring"):
            document = measure(bundle, there, seed=seed)
    moment = now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo is not None else now
    at = moment.isoformat(timespec="seconds")
    document |= {
        "model": model or bundle.name,
        "version": number,
        "bundle_digest": bundle.digest,
        "source": source or ("another record" if record_dir is not None else "another table"),
        "by": by,
        "at": at,
    }
    if model is not None and number is not None:
        document["run_id"] = log_validation(model, number, document=document)
    _write(json_out, document)
    return External(document, bundle.report()["chosen"]["metrics"])


def measure(bundle: Bundle, there: Elsewhere, *, seed: int) -> dict[str, Any]:
    """Numbers of the served risk on the rows that can be scored."""
    study, cohort = there.study, there.cohort
    answer = bundle.risk(cohort.frame, there.dosages)
    rows = np.flatnonzero(answer.not_scored == "")
    _enough(bundle, cohort, rows=rows)
    bench = _bench(bundle, cohort, rows=rows, n_boot=study.validation.bootstraps, seed=seed)
    risk = answer.risk[rows]
    shape = _shape(bundle, cohort, dosages=there.dosages, rows=rows, combined=answer.model[rows] == "combined")
    curves = None if shape is None else shape.through(risk, cohort.horizons)
    metrics = metrics_json(bench.measure(risk, integrated=True, curves=curves))
    metrics["ici"]["if_perfect"] = finite(bench.ici_if_perfect(risk))
    groups, gaps = group_results(bench, cohort, risk=risk, min_people=study.equity.min_people)
    moved = drift(cohort.frame.take(rows), bundle.reference())
    event = cohort.outcome.event[rows] == EVENT
    return {
        "study": study.name,
        "people": bench.people,
        "rows": len(rows),
        "events": len(np.unique(cohort.persons[rows][event])),
        "attrition": shown_steps([asdict(step) for step in cohort.attrition]),
        "left_out": _counted(answer.not_scored[answer.not_scored != ""]),
        "served_by": _counted(answer.model[rows]),
        "metrics": metrics,
        "curves_follow": None if shape is None else shape.source,
        "horizons": {
            "all" if np.isnan(h) else f"{h:g}": metrics_json(bench.measure(risk, i))
            for i, h in enumerate(bundle.horizons_days)
        },
        "groups": groups_json(groups),
        "gaps": gaps,
        "equation": _against_equation(bench, risk, references=there.references),
        "recalibration": recalibration(bench, risk[:, -1], metrics=metrics),
        "figures": figure_numbers(bench, {SERVED: risk}),
        "drift": moved,
        "drift_sentence": drift_sentence(moved, len(bundle.names)),
        "notes": [*cohort.notes, *reach_notes(bench), *_period_notes(bundle)],
        "sentence": sentence(bundle.report()["chosen"]["metrics"], metrics),
        "bootstraps": study.validation.bootstraps,
        "seed": seed,
    }


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


def _bench(bundle: Bundle, cohort: Cohort, *, rows: npt.NDArray[np.int64], n_boot: int, seed: int) -> Bench:
    """These rows, measured at the cut-offs and capacities of the training."""
    at = bundle.report()["validation"]
    return Bench(
        rows,
        cohort.outcome.take(rows),
        cohort.persons[rows],
        followed(cohort, rows),
        n_boot,
        seed,
        tuple(at["cutoffs"]),
        tuple(at["capacities"]),
    )


def _shape(
    bundle: Bundle,
    cohort: Cohort,
    *,
    dosages: Dosages | None,
    rows: npt.NDArray[np.int64],
    combined: npt.NDArray[np.bool_],
) -> Shape | None:
    """What risks follow between the horizons: nothing that is learned here."""
    if not cohort.outcome.horizons_days:
        return None
    both = np.flatnonzero(combined)
    called = None if dosages is None else dosages.take(rows[both])
    own = own_shape(bundle.pair, cohort.frame.take(rows), horizons_days=cohort.horizons, both=both, dosages=called)
    stored = bundle.report().get("incidence")
    if own is not None or stored is None:
        return own
    return Shape(tuple(stored["days"]), np.array([stored["risk"]]), LEARNED_FROM)


def _counted(words: npt.NDArray[np.object_]) -> dict[str, int | None]:
    """How many rows say which; None where that may not be told."""
    names, counts = np.unique(words.astype(str), return_counts=True)
    if len(names) == 0:
        return {}
    shown = suppress([counts.tolist()]).cells[0]
    return dict(zip(names.tolist(), shown, strict=True))


def _against_equation(bench: Bench, risk: Floats, *, references: References) -> dict[str, Any] | None:
    if references.equation is None:
        return None
    equation = references.equation[bench.rows][:, None]
    rows = np.flatnonzero(~np.isnan(equation[:, 0]))
    if len(rows) == 0:
        return {"name": references.equation_name, "people": 0, "delta": {}}
    some = bench.take(rows)
    delta = some.compare(risk[rows], np.broadcast_to(equation[rows], risk[rows].shape))
    return {"name": references.equation_name, "people": some.people, "delta": metrics_json(delta)}


def _write(path: Path | None, document: Mapping[str, Any]) -> None:
    if path is None:
        return
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
