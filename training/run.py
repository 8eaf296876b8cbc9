"""From a study file to a registered bundle: the protocol, step by step."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from features.errors import PresageError
from features.progress import Progress, silent
from features.record import Record
from training.bundle_contents import write_bundle
from training.card_facts import unreachable_words
from training.censoring import Uncensored
from training.cohort import Cohort, References
from training.curves import learned_shape
from training.explain import importance
from training.flat import read_flat
from training.learners import LEARNERS, SERVABLE
from training.outcomes import EVENT
from training.period import Period
from training.run_blocks import added_by, added_json
from training.run_evidence import evidence
from training.run_figures import draw
from training.run_metrics import Bench, SideBySide, group_results, side_by_side, usual_cutoffs
from training.run_period import in_last_years, period_json
from training.run_predictions import write_predictions
from training.run_refits import REFITS, refits
from training.run_sites import site_notes, sites_json
from training.run_tuning import budget_of, quiet_budget, trials_of, tuning_json
from training.run_validation import HeldOut, Nested, choose, clinical_of_the_tested, hold_out, nested_blocks, stream
from training.splits import Scheme, make_splits
from training.study import Study, naming_the_study, read_study
from training.summary import Summary, finite, groups_json, metrics_json, side_by_side_json
from training.suppression import shown_steps
from training.tracking import check_server
from training.variants import Pair, fit_pair, followed

Floats = npt.NDArray[np.float64]

REFITTED = "clinical refitted"


def train(
    study_path: Path,
    *,
    record_dir: Path | None = None,
    truth: Path | None = None,
    json_out: Path | None = None,
    predictions_out: Path | None = None,
    seed: int = 7,
    tune: int | None = None,
    progress: Progress = silent,
) -> Summary:
    """Cohort, splits, candidates, numbers, bundle, registry. Same files and seed: the same numbers.

    tune: trials of a search for settings, of each boosted candidate in each training part; None: the settings as they
    are.

    Raises PresageError for whatever in the study, table or record its owner can mend.
    """
    # Small matrices: threads only get into each other's way.
    with threadpool_limits(1, user_api="blas"), naming_the_study(study_path):
        return _train(study_path, record_dir, truth, json_out, predictions_out, seed, tune, progress)


def _train(
    study_path: Path,
    record_dir: Path | None,
    truth: Path | None,
    json_out: Path | None,
    predictions_out: Path | None,
    seed: int,
    tune: int | None,
    progress: Progress,
) -> Summary:
    study, folder = read_study(study_path), study_path.parent
    check_server()
    cohort, references = _cohort(study, folder, record_dir, truth, progress)
    candidates = candidates_of(study, cohort)
    scheme = make_splits(cohort, study.validation, folder=folder, rng=stream(seed, "splits"))
    fits = len(scheme.splits) * sum(1 + trials_of(name, tune) for name in candidates)
    with progress("fitting candidates", total=fits) as advance:
        uncensored = [followed(cohort, split.train) for split in scheme.splits]
        budget = budget_of(study, tune, advance)
        held = {
            name: hold_out(name, cohort, scheme, uncensored, seed=seed, advance=advance, budget=budget)
            for name in candidates
        }
    chosen = choose([found for name, found in held.items() if name in SERVABLE])
    others: tuple[Pair, ...] = ()
    if len(scheme.splits) == 1:
        with progress("fitting anew, for intervals of importance", total=REFITS) as advance:
            others = refits(chosen, cohort, scheme.splits[0], uncensored[0], seed=seed, advance=advance)
    final, periods = _final_pair(chosen, cohort, scheme, study, tune, seed=seed, progress=progress)
    with progress("measuring"):
        tested = clinical_of_the_tested(chosen, cohort, scheme, uncensored, seed=seed)
        nested = nested_blocks(
            chosen, cohort, scheme, uncensored, seed=seed, reference=tested, budget=quiet_budget(budget)
        )
        document = _document(study, cohort, scheme, held, chosen, nested, tested, references, others, seed=seed)
        document["notes"] += reach_notes(cohort, scheme, uncensored)
        if periods:
            document["period"], notes = period_json(periods, chosen, cohort, scheme, uncensored)
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

        proof = prove(cohort, scheme, Record.open(record_dir), seed=seed, progress=progress)
        document["leakage"] = proof.to_json()
    if tune is not None:
        document["tuning"] = tuning_json(held, chosen, final)
    with progress("writing the bundle and the run"):
        figures = draw(study.name, document["figures"])
        document["registered"] = _register(
            study, study_path, cohort, scheme, held, chosen, final, document, figures, seed=seed
        )
    _write(json_out, document)
    if predictions_out is not None:
        write_predictions(predictions_out, cohort, list(held.values()))
    return Summary(document)


def candidates_of(study: Study, cohort: Cohort) -> tuple[str, ...]:
    """The study's candidates, or those that suit the outcome. Raises PresageError for a name that is not a learner."""
    if not study.models.candidates:
        return ("cox", "xgboost") if cohort.outcome.horizons_days else ("logistic", "xgboost")
    for name in study.models.candidates:
        if name not in LEARNERS:
            raise PresageError("[models] candidates", f"a learner among {', '.join(LEARNERS)}; there is no '{name}'")
    if not set(study.models.candidates) & set(SERVABLE):
        raise PresageError("[models] candidates", f"one that can be served at least: {', '.join(SERVABLE)}")
    return study.models.candidates


def _cohort(
    study: Study, folder: Path, record_dir: Path | None, truth: Path | None, progress: Progress
) -> tuple[Cohort, References]:
    if study.is_flat:
        with progress("reading the table"):
            return read_flat(study, folder), References()
    if record_dir is None:
        raise PresageError("--record", f"a record: study {study.name} has no [source] table")
    from training.cohort_features import read_record

    return read_record(study, folder, record_dir, truth, progress=progress)


def _document(
    study: Study,
    cohort: Cohort,
    scheme: Scheme,
    held: Mapping[str, HeldOut],
    chosen: HeldOut,
    nested: Sequence[Nested],
    tested: Floats,
    references: References,
    others: Sequence[Pair],
    *,
    seed: int,
) -> dict[str, Any]:
    """The summary's JSON (contract 5)."""
    bench = Bench.of(
        cohort,
        chosen,
        n_boot=study.validation.bootstraps,
        seed=seed,
        cutoffs=study.validation.cutoffs or usual_cutoffs(cohort, scheme),
        capacities=study.validation.capacities,
    )
    added = added_by(bench, nested, cohort, min_people=study.equity.min_people)
    groups, gaps = group_results(bench, cohort, chosen.served, min_people=study.equity.min_people)
    event = cohort.outcome.event == EVENT
    candidates = {name: _by_horizon(bench, cohort, found) for name, found in held.items()}
    return {
        "study": study.name,
        "title": study.title,
        "kind": study.kind,
        "people": len(np.unique(cohort.persons)),
        "rows": len(cohort),
        "events": len(np.unique(cohort.persons[event])),
        "attrition": shown_steps([asdict(step) for step in cohort.attrition]),
        "validation": _validation(cohort, scheme, study) | {"refits": len(others)},
        "chosen": {
            "candidate": chosen.candidate,
            "horizon_days": finite(cohort.horizons[-1]),
            "curves_follow": chosen.shape or None,
            "metrics": list(candidates[chosen.candidate].values())[-1],
        },
        "candidates": candidates,
        "incidence": _incidence(cohort, scheme),
        "inner_brier": {name: found.inner_brier for name, found in held.items()},
        "comparison": _comparison(bench, chosen, tested, references),
        "equation": _against_equation(bench, chosen, references),
        "importance": importance(chosen, cohort, scheme, rng=stream(seed, "importance"), others=others),
        "blocks": [added_json(each, bench.cutoffs) for each in added],
        "groups": groups_json(groups),
        "gaps": gaps,
        "notes": [*cohort.notes, *_combined_notes(chosen), *_truth_notes(bench, references)],
        "seed": seed,
        "study_digest": study.digest(),
        **evidence(cohort, scheme, chosen, model_risks(chosen, references), bench, seed=seed),
    }


def _validation(cohort: Cohort, scheme: Scheme, study: Study) -> dict[str, Any]:
    test = np.unique(np.concatenate([split.test for split in scheme.splits]))
    train_rows = np.unique(np.concatenate([split.train for split in scheme.splits]))
    return {
        "scheme": scheme.words,
        "splits": len(scheme.splits),
        "train_people": len(np.unique(cohort.persons[train_rows])),
        "test_people": len(np.unique(cohort.persons[test])),
        "test_rows": len(test),
        "bootstraps": study.validation.bootstraps,
        "cutoffs": list(study.validation.cutoffs or usual_cutoffs(cohort, scheme)),
        "capacities": list(study.validation.capacities),
    }


def _incidence(cohort: Cohort, scheme: Scheme) -> dict[str, list[float]] | None:
    """Among the rows learned from, over time: what curves follow where a learner knows the horizons alone."""
    if not cohort.outcome.horizons_days:
        return None
    rows = np.unique(np.concatenate([split.train for split in scheme.splits]))
    shape = learned_shape(cohort.outcome.take(rows), cohort.persons[rows])
    return {"days": list(shape.times_days), "risk": [round(float(risk), 5) for risk in shape.risks[0]]}


def _by_horizon(bench: Bench, cohort: Cohort, held: HeldOut) -> dict[str, Any]:
    names = ["all" if np.isnan(h) else f"{h:g}" for h in cohort.horizons]
    found = {}
    for i, name in enumerate(names):
        found[name] = metrics_json(bench.measure(held.served, i, integrated=True, curves=held.curves))
        found[name]["ici"]["if_perfect"] = finite(bench.ici_if_perfect(held.served, i))
    return found


def model_risks(chosen: HeldOut, references: References) -> dict[str, Floats]:
    """(N, 1 or h) of every model on the test rows; the order is the table's."""
    risks = {"clinical": chosen.clinical, "combined": chosen.combined, "as served": chosen.served}
    for name, found in (("equation", references.equation), ("oracle", references.oracle)):
        if found is not None:
            risks[name] = found[chosen.rows][:, None]
    return risks


def _comparison(bench: Bench, chosen: HeldOut, tested: Floats, references: References) -> dict[str, Any]:
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
    found: dict[str, Any] = {}
    for key, title, rows in sets:
        wanted = {name: risk for name, risk in risks.items() if "genomic" in key or name not in ("combined", REFITTED)}
        if "genomic" in key or not genomic.any():
            wanted.pop("as served")
        compared: SideBySide | None = side_by_side(bench, wanted, rows)
        if compared is not None:
            found[key] = side_by_side_json(compared, title)
    return found


def _with_truth(bench: Bench, references: References) -> npt.NDArray[np.bool_]:
    """(N,) test rows; only those a simulation knows the true risk of, where it does: it knows who is ill unrecorded."""
    everyone = np.ones(len(bench.rows), dtype=np.bool_)
    if references.oracle is None:
        return everyone
    known = ~np.isnan(references.oracle[bench.rows])
    return known if known.any() else everyone


def _against_equation(bench: Bench, chosen: HeldOut, references: References) -> dict[str, Any] | None:
    if references.equation_name is None:
        return None
    if references.equation is None:
        return {
            "name": references.equation_name,
            "people": 0,
            "delta": {},
            "reason": "another horizon than the study's",
        }
    risk = references.equation[bench.rows][:, None]
    rows = np.flatnonzero(~np.isnan(risk[:, 0]))
    if len(rows) == 0:
        return {"name": references.equation_name, "people": 0, "delta": {}, "reason": "it applies to nobody here"}
    some = bench.take(rows)
    delta = some.compare(chosen.served[rows], np.broadcast_to(risk[rows], chosen.served[rows].shape))
    return {"name": references.equation_name, "people": some.people, "delta": metrics_json(delta)}


def _combined_notes(chosen: HeldOut) -> list[str]:
    reasons = sorted({pair.why_no_combined for pair in chosen.pairs if pair.combined is None})
    return [f"no combined model: {reason}" for reason in reasons]


def reach_notes(cohort: Cohort, scheme: Scheme, uncensored: Sequence[Uncensored | None]) -> list[str]:
    """How many of the rows learned from cannot be followed to the last horizon, and what that means."""
    out = [split.train[~found.reaches(-1)] for split, found in zip(scheme.splits, uncensored, strict=True) if found]
    left_out = len(np.unique(np.concatenate(out))) if out else 0
    everybody = len(np.unique(np.concatenate([split.train for split in scheme.splits])))
    said = unreachable_words(left_out, everybody, cohort.horizons[-1])
    why = "left out of learning at that horizon, of recalibration and of what is measured by it"
    return [f"{said}: {why}; risks like theirs are extrapolated"] if said else []


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


def _final_pair(
    chosen: HeldOut, cohort: Cohort, scheme: Scheme, study: Study, tune: int | None, *, seed: int, progress: Progress
) -> tuple[Pair, list[Period]]:
    """The very model that was evaluated where there is one split; else one fitted to everybody, in the last years."""
    if scheme.temporal:
        return chosen.pairs[0], []
    name, rows = chosen.candidate, np.arange(len(cohort))
    with progress("fitting to everybody", total=1 + trials_of(name, tune)) as advance:
        budget, rng = budget_of(study, tune, advance), stream(seed, name, "all")
        seen = followed(cohort, rows)
        pair = fit_pair(name, cohort, rows, uncensored=seen, rng=rng, budget=budget)
        advance(1)
    return in_last_years(pair, cohort, rows, seen)


def _register(
    study: Study,
    study_path: Path,
    cohort: Cohort,
    scheme: Scheme,
    held: Mapping[str, HeldOut],
    chosen: HeldOut,
    final: Pair,
    document: dict[str, Any],
    figures: Mapping[str, Any],
    *,
    seed: int,
) -> dict[str, Any]:
    from training.run_log import log_run

    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        digest = write_bundle(bundle, study, study_path, cohort, scheme, final, document)
        registered = log_run(study, cohort, held, chosen, document, bundle, figures, digest=digest, seed=seed)
    return {
        "model": registered.model,
        "version": registered.version,
        "run_id": registered.run_id,
        "digest": digest,
    }


def _write(path: Path | None, document: Mapping[str, Any]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.part")
    scratch.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    scratch.replace(path)
