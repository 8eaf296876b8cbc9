"""From a study file to a registered bundle: the protocol, step by step."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from features.errors import PresageError
from features.progress import Progress, silent
from features.record import Record
from features.writing import write_text
from training.bundle import write_bundle
from training.cohort import Cohort, References, Scheme, make_splits, read_flat
from training.fitted import SERVABLE
from training.fitting import Period, fit_pair, followed
from training.heldout import (
    REFITS,
    Bench,
    HeldOut,
    budget_of,
    candidates_of,
    choose,
    clinical_of_the_tested,
    comparators_of,
    hold_out,
    in_last_years,
    nested_blocks,
    period_json,
    predictions_of,
    quiet_budget,
    reach_notes,
    site_notes,
    sites_json,
    stream,
    trials_of,
    tuning_json,
    write_predictions,
)
from training.heldout.document import document as document_of
from training.heldout.refits import refits
from training.models import Pair
from training.registry import check_server
from training.report import Summary, draw
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
    scheme = make_splits(cohort, study.validation, folder=study.folder, rng=stream(seed, "splits"))
    fits = len(scheme.splits) * sum(1 + trials_of(name, tune) for name in candidates)
    with progress("fitting candidates", total=fits) as advance:
        uncensored = [followed(cohort, split.train) for split in scheme.splits]
        budget = budget_of(study, tune, advance=advance)
        held = {
            name: hold_out(
                name,
                cohort,
                scheme=scheme,
                uncensored=uncensored,
                seed=seed,
                advance=advance,
                budget=budget,
                learner=compared.get(name),
            )
            for name in candidates
        }
    chosen = choose([found for name, found in held.items() if name in SERVABLE])
    others: tuple[Pair, ...] = ()
    if len(scheme.splits) == 1:
        with progress("fitting anew, for intervals of importance", total=REFITS) as advance:
            others = refits(
                chosen, cohort, split=scheme.splits[0], uncensored=uncensored[0], seed=seed, advance=advance
            )
    final, periods = _final_pair(chosen, cohort, scheme=scheme, study=study, tune=tune, seed=seed, progress=progress)
    with progress("measuring"):
        tested = clinical_of_the_tested(chosen, cohort, scheme=scheme, uncensored=uncensored, seed=seed)
        nested = nested_blocks(
            chosen,
            cohort,
            scheme=scheme,
            uncensored=uncensored,
            seed=seed,
            reference=tested,
            budget=quiet_budget(budget),
        )
        document = document_of(
            study,
            cohort,
            scheme=scheme,
            held=held,
            chosen=chosen,
            nested=nested,
            tested=tested,
            references=references,
            others=others,
            seed=seed,
        )
        document["notes"] += reach_notes(cohort, scheme, uncensored=uncensored)
        if periods:
            document["period"], notes = period_json(
                periods, chosen, cohort=cohort, scheme=scheme, uncensored=uncensored
            )
            document["notes"] += notes
        if study.validation.site_column is not None:
            document["sites"] = sites_json(
                Bench.of(cohort, chosen, n_boot=study.validation.bootstraps, seed=seed),
                chosen,
                min_people=study.equity.min_people,
            )
            document["notes"] += site_notes(document["sites"])
    if record_dir is not None and not study.is_flat:
        from training.leakage import prove

        proof = prove(cohort, scheme, record=Record.open(record_dir), seed=seed, progress=progress)
        document["leakage"] = proof.to_json()
    if tune is not None:
        document["tuning"] = tuning_json(held, chosen, final=final)
    with progress("writing the bundle and the run"):
        figures = draw(study.name, document["figures"])
        document["registered"] = _register(
            study,
            cohort=cohort,
            scheme=scheme,
            held=held,
            chosen=chosen,
            final=final,
            document=document,
            figures=figures,
            seed=seed,
        )
    _write(json_out, document)
    predictions = predictions_of(cohort, held=list(held.values()))
    if predictions_out is not None:
        write_predictions(predictions_out, predictions)
    return Summary(document, predictions)


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
            return read_flat(study, study.folder, handed=table), References()
    if record_dir is None:
        raise PresageError(
            "--record",
            f"a record, as study {study.name} has no [source] table",
            found="none",
            way_out="give --record DIR",
        )
    from training.cohort import read_record

    return read_record(study, study.folder, record_dir=record_dir, truth=truth, progress=progress)


def _final_pair(
    chosen: HeldOut, cohort: Cohort, *, scheme: Scheme, study: Study, tune: int | None, seed: int, progress: Progress
) -> tuple[Pair, list[Period]]:
    """The very model that was evaluated where there is one split; else one fitted to everybody, in the last years."""
    if scheme.temporal:
        return chosen.pairs[0], []
    name, rows = chosen.candidate, np.arange(len(cohort))
    with progress("fitting to everybody", total=1 + trials_of(name, tune)) as advance:
        budget, rng = budget_of(study, tune, advance=advance), stream(seed, name, "all")
        seen = followed(cohort, rows)
        pair = fit_pair(name, cohort, rows=rows, uncensored=seen, rng=rng, budget=budget)
        advance(1)
    return in_last_years(pair, cohort, rows=rows, uncensored=seen)


def _register(
    study: Study,
    *,
    cohort: Cohort,
    scheme: Scheme,
    held: Mapping[str, HeldOut],
    chosen: HeldOut,
    final: Pair,
    document: dict[str, Any],
    figures: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    from training.heldout import log_run

    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        digest = write_bundle(bundle, study, cohort=cohort, scheme=scheme, pair=final, document=document)
        registered = log_run(
            study,
            cohort,
            held=held,
            chosen=chosen,
            document=document,
            bundle=bundle,
            figures=figures,
            digest=digest,
            seed=seed,
        )
    return {
        "model": registered.model,
        "version": registered.version,
        "run_id": registered.run_id,
        "digest": digest,
    }


def _write(path: Path | None, document: Mapping[str, Any]) -> None:
    if path is None:
        return
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
