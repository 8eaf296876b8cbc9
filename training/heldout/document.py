"""The document of a training (contract 5): every number on held-out people, as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from training.card import unreachable_words
from training.cohort import EVENT, Cohort, References, Scheme, Uncensored
from training.disclosure import shown_steps
from training.evaluation import finite, groups_json, metrics_json
from training.fitting import learned_shape
from training.heldout.bench import Bench, SideBySide, group_results, side_by_side, side_by_side_json, usual_cutoffs
from training.heldout.blocks import added_by, added_json
from training.heldout.candidates import HeldOut, Nested, stream
from training.heldout.evidence import evidence
from training.heldout.importance import importance
from training.models import Pair
from training.study import Study

REFITTED = "clinical refitted"


def document(
    study: Study,
    cohort: Cohort,
    *,
    scheme: Scheme,
    held: Mapping[str, HeldOut],
    chosen: HeldOut,
    nested: Sequence[Nested],
    tested: Floats,
    references: References,
    others: Sequence[Pair],
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
    added = added_by(bench, nested, cohort=cohort, min_people=study.equity.min_people)
    groups, gaps = group_results(bench, cohort, risk=chosen.served, min_people=study.equity.min_people)
    event = cohort.outcome.event == EVENT
    candidates = {name: _by_horizon(bench, cohort, held=found) for name, found in held.items()}
    return {
        "study": study.name,
        "title": study.title,
        "kind": study.kind,
        "people": len(np.unique(cohort.persons)),
        "rows": len(cohort),
        "events": len(np.unique(cohort.persons[event])),
        "attrition": shown_steps([asdict(step) for step in cohort.attrition]),
        "validation": _validation(cohort, scheme, study=study) | {"refits": len(others)},
        "chosen": {
            "candidate": chosen.candidate,
            "horizon_days": finite(cohort.horizons[-1]),
            "curves_follow": chosen.shape or None,
            "metrics": list(candidates[chosen.candidate].values())[-1],
        },
        "candidates": candidates,
        "incidence": _incidence(cohort, scheme),
        "inner_brier": {name: found.inner_brier for name, found in held.items()},
        "comparison": _comparison(bench, chosen, tested=tested, references=references),
        "equation": _against_equation(bench, chosen, references=references),
        "importance": importance(chosen, cohort, scheme=scheme, rng=stream(seed, "importance"), others=others),
        "blocks": [added_json(each, bench.cutoffs) for each in added],
        "groups": groups_json(groups),
        "gaps": gaps,
        "notes": [*cohort.notes, *_combined_notes(chosen), *_truth_notes(bench, references)],
        "seed": seed,
        "study_digest": study.digest(),
        **evidence(cohort, scheme, chosen=chosen, risks=model_risks(chosen, references), bench=bench, seed=seed),
    }


def _validation(cohort: Cohort, scheme: Scheme, *, study: Study) -> dict[str, Any]:
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


def _by_horizon(bench: Bench, cohort: Cohort, *, held: HeldOut) -> dict[str, Any]:
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


def _comparison(bench: Bench, chosen: HeldOut, *, tested: Floats, references: References) -> dict[str, Any]:
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
        compared: SideBySide | None = side_by_side(bench, wanted, rows=rows)
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


def _against_equation(bench: Bench, chosen: HeldOut, *, references: References) -> dict[str, Any] | None:
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


def reach_notes(cohort: Cohort, scheme: Scheme, *, uncensored: Sequence[Uncensored | None]) -> list[str]:
    """How many of the rows learned from cannot be followed to the last horizon, and what that means."""
    out = [split.train[~found.reaches(-1)] for split, found in zip(scheme.splits, uncensored, strict=True) if found]
    left_out = len(np.unique(np.concatenate(out))) if out else 0
    everybody = len(np.unique(np.concatenate([split.train for split in scheme.splits])))
    said = unreachable_words(left_out, everybody, days=cohort.horizons[-1])
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
