"""Internal-external validation: each site by the model that never saw it, and what another site may expect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from training.evaluation import groups_json
from training.evaluation.heterogeneity import heterogeneity
from training.heldout.bench import Bench
from training.heldout.candidates import HeldOut

METRICS = ("auc", "c_harrell", "brier", "calibration_slope", "calibration_in_the_large", "observed_to_expected")


def sites_json(bench: Bench, chosen: HeldOut, *, min_people: int) -> dict[str, Any]:
    """`by_site`: as `groups`. `between_sites`: by metric, its mean over sites, spread and prediction interval."""
    results = bench.groups(chosen.served, chosen.fold, min_people=min_people)
    found = {name: heterogeneity(results, name) for name in METRICS}
    between = {name: asdict(one) for name, one in found.items() if one is not None}
    return {"by_site": groups_json({"site": results})["site"], "between_sites": between}


def site_notes(sites: Mapping[str, Any]) -> list[str]:
    """Where another site's AUC is to be expected."""
    found = sites["between_sites"].get("auc")
    if found is None:
        return ["fewer than 3 sites are large enough to say how they differ"]
    low, high = max(found["predicted_low"], 0.0), min(found["predicted_high"], 1.0)
    mean = f"{found['mean']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
    expected = f"another site's is to be expected within {low:.3f} to {high:.3f}"
    return [f"AUC over {found['sites']} sites, each left out in turn: {mean}; {expected}"]
