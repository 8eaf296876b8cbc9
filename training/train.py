"""From a study file to a registered bundle: the protocol, step by step."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from features.errors import PresageError
from features.progress import Progress, silent
from training.bundle import write_bundle
from training.cohort import Cohort, References, equation_reference, read_flat
from training.fitted import SERVABLE
from training.fitting import Period, fit_pair, followed
from training.heldout import (
    REFITS,
    SPLITTING,
    Fits,
    HeldOut,
    Plan,
    as_members,
    budget_of,
    candidates_of,
    choose,
    clinical_of_the_tested,
    comparators_of,
    hold_out,
    in_last_years,
    nested_blocks,
    predictions_of,
    result_of,
    searches,
    trials_of,
    write_predictions,
)
from training.heldout.refits import refits
from training.learners import Learner
from training.models import Pair
from training.registry import check_server
from training.report import Summary, draw
from training.result import LeakageProof, RegisteredAs, Result
from training.study import Study, naming_the_study, read_study


def train(
    study: Path | Study,
    *,
    record_dir: Path | None = None,
    table: Path | pd.DataFrame | None = None,
    truth: Path | None = None,
    comparators: Mapping[str, Any] | None = None,
    json_out: Path | None = None,
    predictions_out: Path | None = None,
    seed: int = 7,
    tune: int | None = None,
    progress: Progress = silent,
) -> Summary:
    """Cohort, splits, candidates, numbers, bundle, registry. Same files and seed: the same numbers.

    study: its file, or a study. table: the flat table, instead of the one that the study names. comparators:
    scikit-learn classifiers by name, compared with the study's candidates and never served. tune: trials of a search
    for settings, of each boosted candidate in each training part; None: the settings as they are.

    Raises PresageError for whatever in the study, table or record its owner can mend.
    """
    # Small matrices: threads only get into each other's way.
    asked = study if isinstance(study, Study) else read_study(study)
    with threadpool_limits(1, user_api="blas"), naming_the_study(asked.where):
        return _train(
            asked,
            record_dir,
            table=table,
            truth=truth,
            comparators=comparators or {},
            json_out=json_out,
            predictions_out=predictions_out,
            seed=seed,
            tune=tune,
            progress=progress,
        )


def _train(
    study: Study,
    record_dir: Path | None,
    *,
    table: Path | pd.DataFrame | None,
    truth: Path | None,
    comparators: Mapping[str, Any],
    json_out: Path | None,
    predictions_out: Path | None,
    seed: int,
    tune: int | None,
    progress: Progress,
) -> Summary:
    check_server()
    cohort, references = cohort_of(study, record_dir=record_dir, table=table, truth=truth, progress=progress)
    compared = comparators_of(comparators, cohort)
    candidates = (*candidates_of(study, cohort), *compared)
    with progress(SPLITTING):
        plan = Plan.of(study, cohort, seed=seed)
    if len(plan.cohort.horizons) < len(cohort.horizons):  # the risks that no candidate made are of the other horizon
        references = References(equation_name=references.equation_name)
    cohort = plan.cohort
    held, chosen = _held_out(plan, candidates, comparators=compared, tune=tune, progress=progress)
    others = _refits(plan, chosen, progress=progress)
    final, periods = _final_pair(plan, chosen, tune=tune, progress=progress)
    proof = None if study.is_flat or record_dir is None else _proof(plan, record_dir, progress=progress)
    with progress("measuring"):
        tested = clinical_of_the_tested(plan, chosen)
        nested = nested_blocks(plan, chosen, reference=tested, budget=budget_of(plan, tune))
        result = result_of(
            plan,
            Fits(held, chosen, tested, nested, others, periods),
            references=references,
            leakage=proof,
            tuning=None if tune is None else searches(held, chosen, final=final),
        )
    with progress("writing the bundle and the run"):
        registered = _register(plan, result, held=held, final=final)
    result = result.model_copy(update={"registered": registered})
    if json_out is not None:
        result.write(json_out)
    predictions = predictions_of(cohort, held=list(held.values()))
    if predictions_out is not None:
        write_predictions(predictions_out, predictions)
    return Summary(result, predictions)


def cohort_of(
    study: Study,
    *,
    record_dir: Path | None = None,
    table: Path | pd.DataFrame | None = None,
    truth: Path | None = None,
    progress: Progress = silent,
) -> tuple[Cohort, References]:
    """The study's rows from its table or a record, and the risks that no candidate made."""
    if study.is_flat:
        with progress("reading the table"):
            cohort = read_flat(study, study.folder, handed=table)
            return cohort, equation_reference(study, cohort.frame, horizons_days=cohort.outcome.horizons_days)
    if table is not None:
        raise PresageError("table", "a study whose outcome is a column of it", found=f"{study.name}, of a record")
    if record_dir is None:
        raise PresageError(
            "--record",
            f"a record, as study {study.name} has no [source] table",
            found="none",
            way_out="give --record DIR, in Python record=DIR",
        )
    from training.cohort import read_record

    return read_record(study, study.folder, record_dir=record_dir, truth=truth, progress=progress)


def _held_out(
    plan: Plan,
    candidates: tuple[str, ...],
    *,
    comparators: Mapping[str, Learner],
    tune: int | None,
    progress: Progress,
) -> tuple[dict[str, HeldOut], HeldOut]:
    """Every candidate on every split, and the one to serve."""
    fits = len(plan.scheme.splits) * sum(1 + trials_of(name, tune) for name in candidates)
    with progress("fitting candidates", total=fits) as advance:
        budget = budget_of(plan, tune, advance=advance)
        held: dict[str, HeldOut] = {}
        for name in candidates:
            member = None if budget is not None else as_members(held.values(), name)
            learner = comparators.get(name, member)
            held[name] = hold_out(plan, name, advance=advance, budget=budget, learner=learner)
    return held, choose([found for name, found in held.items() if name in SERVABLE])


def _refits(plan: Plan, chosen: HeldOut, *, progress: Progress) -> tuple[Pair, ...]:
    """The chosen candidate fitted anew, where one split alone tells nothing of how fits differ."""
    if len(plan.scheme.splits) != 1:
        return ()
    with progress("fitting anew, for intervals of importance", total=REFITS) as advance:
        return refits(plan, chosen, advance=advance)


def _final_pair(plan: Plan, chosen: HeldOut, *, tune: int | None, progress: Progress) -> tuple[Pair, list[Period]]:
    """The very model that was evaluated where there is one split; else one fitted to everybody, in the last years."""
    if plan.scheme.temporal:
        return chosen.pairs[0], []
    name, cohort, rows = chosen.candidate, plan.cohort, np.arange(len(plan.cohort))
    with progress("fitting to everybody", total=1 + trials_of(name, tune)) as advance:
        budget, rng = budget_of(plan, tune, advance=advance), plan.stream(name, "all")
        seen = followed(cohort, rows)
        pair = fit_pair(name, cohort, rows=rows, uncensored=seen, rng=rng, budget=budget)
        advance(1)
    return in_last_years(pair, cohort, rows=rows, uncensored=seen)


def _proof(plan: Plan, record_dir: Path, *, progress: Progress) -> LeakageProof:
    from features.record import Record
    from training.leakage import prove

    return prove(plan, record=Record.open(record_dir), progress=progress).proof


def _register(plan: Plan, result: Result, *, held: Mapping[str, HeldOut], final: Pair) -> RegisteredAs:
    """Write the bundle and keep it, with the run, in MLflow."""
    from training.heldout import log_run

    study, cohort, scheme = plan.study, plan.cohort, plan.scheme
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        digest = write_bundle(bundle, study, cohort=cohort, scheme=scheme, pair=final, result=result)
        figures = draw(study.name, result.figures)
        run = log_run(plan, result, held=held, bundle=bundle, figures=figures, digest=digest)
    return RegisteredAs(model=run.model, version=run.version, run_id=run.run_id, digest=digest)
