"""Internal-external validation: each site by the model that never saw it, and what another site may expect."""

from __future__ import annotations

from dataclasses import asdict

from training.evaluation import shown_groups
from training.evaluation.heterogeneity import heterogeneity
from training.heldout.bench import Bench
from training.heldout.candidates import HeldOut
from training.heldout.plan import Plan
from training.result import BetweenSites, Sites

METRICS = ("auc", "c_harrell", "brier", "calibration_slope", "calibration_in_the_large", "observed_to_expected")


def by_site(plan: Plan, chosen: HeldOut) -> Sites:
    """Each site's metrics as groups have them; by metric, its mean over sites, spread and prediction interval."""
    bench, min_people = Bench.of(plan, chosen).one_model, plan.study.equity.min_people
    results = bench.groups(chosen.served, chosen.fold, min_people=min_people)
    spread = {name: heterogeneity(results, name) for name in METRICS}
    between = {name: BetweenSites(**asdict(one)) for name, one in spread.items() if one is not None}
    return Sites(by_site=shown_groups(results), between_sites=between)


def site_notes(sites: Sites) -> list[str]:
    """Where another site's AUC is to be expected."""
    auc = sites.between_sites.get("auc")
    if auc is None:
        return ["fewer than 3 sites are large enough to say how they differ"]
    low, high = max(auc.predicted_low, 0.0), min(auc.predicted_high, 1.0)
    mean = f"{auc.mean:.3f} ({auc.low:.3f} to {auc.high:.3f})"
    expected = f"another site's is to be expected within {low:.3f} to {high:.3f}"
    return [f"AUC over {auc.sites} sites, each left out in turn: {mean}; {expected}"]
