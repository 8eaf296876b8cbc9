"""Adjustment for ancestry, placement in the reference, and what a frozen reference promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from features.polygenic.ancestry.adjustment import fit_adjustment
from features.polygenic.ancestry.loadings import read_loadings
from features.polygenic.ancestry.model import read_model
from features.polygenic.prs import prs
from features.polygenic.reference import fit_reference
from features.polygenic.run import Settings, compute

# Written by pgscatalog.calc 0.3.1 (Apache-2.0), pgs_adjust with 4 components, all of the reference as training set.
PUBLISHED = pd.read_csv(Path(__file__).with_name("pgs_adjust_tiny1000g.csv"), index_col="IID")


@pytest.fixture(scope="module")
def tiny(real_data):
    folder = real_data / "genomics" / "panels" / "tiny1000G"
    sums = pd.read_csv(folder / "aggregated_scores.txt", sep="\t")
    groups = pd.read_csv(folder / "ref.psam", sep="\t").set_index("#IID")["SuperPop"]
    people = {}
    for name, file in (("reference", "ref.pcs"), ("hgdp", "target.pcs")):
        table = pd.read_csv(folder / file, sep="\t").set_index("IID").drop(columns="FID")
        table["sum"] = sums[sums["sampleset"] == name].set_index("IID")["SUM"]
        people[name] = table.assign(group=groups.reindex(table.index))
    return people


def standardised(tiny, n_components):
    columns = [f"PC{k}" for k in range(1, n_components + 1)]
    reference = tiny["reference"][columns].to_numpy()
    mean, sd = reference.mean(axis=0), reference.std(axis=0)
    return {name: (table[columns].to_numpy() - mean) / sd for name, table in tiny.items()}


@pytest.mark.realdata
@pytest.mark.parametrize("n_components", [4, 10])
def test_height_differs_between_groups_before_adjustment_and_not_after(tiny, n_components):
    table, components = tiny["reference"], standardised(tiny, n_components)["reference"]
    raw = table.groupby("group")["sum"].mean()
    gaps = np.abs(raw.to_numpy()[:, None] - raw.to_numpy())[np.triu_indices(5, 1)]
    assert gaps.min() > 0.4
    assert gaps.max() > 4
    fit = fit_adjustment(table["sum"].to_numpy(), components)
    z = pd.Series(fit.z_norm2(table["sum"].to_numpy(), components), table.index).groupby(table["group"])
    assert (z.mean().abs() < 0.25).all()
    assert z.std().between(0.85, 1.15).all()
    z1 = pd.Series(fit.z_norm1(table["sum"].to_numpy(), components), table.index).groupby(table["group"])
    assert (z1.mean().abs() < 0.25).all()
    assert z1.std().between(0.85, 1.15).all()


@pytest.mark.realdata
def test_both_adjustments_are_those_of_pgsc_calc(tiny):
    components = standardised(tiny, 4)
    fit = fit_adjustment(tiny["reference"]["sum"].to_numpy(), components["reference"])
    for name, table in tiny.items():
        published = PUBLISHED[PUBLISHED["set"] == name]
        place = table.index.get_indexer(published.index)
        sums, own = table["sum"].to_numpy()[place], components[name][place]
        np.testing.assert_allclose(fit.z_norm1(sums, own), published["z_norm1"], atol=2e-6)
        np.testing.assert_allclose(fit.z_norm2(sums, own), published["z_norm2"], atol=2e-3)


def test_a_percentile_is_the_share_of_the_reference_below():
    rng = np.random.default_rng(0)
    components, sums = rng.normal(size=(2000, 2)), rng.normal(size=2000)
    fit = fit_adjustment(sums, components)
    z = fit.z_norm2(sums, components)
    assert np.abs(fit.percentile(z) - 100 * (z[:, None] > z).mean(axis=1)).max() < 0.6
    assert np.isnan(fit.percentile(np.array([np.nan]))).all()


def world(rng, n, shares=None):
    """Counts (site, person) of three populations far apart, or of mixtures of them, and their frequencies."""
    p = np.random.default_rng(77).uniform(0.1, 0.9, (3, 900))
    shares = np.eye(3).repeat(n, axis=0) if shares is None else shares
    return rng.binomial(2, (shares @ p).T).astype(np.int8), p


@pytest.fixture(scope="module")
def reference(write_panel, tmp_path_factory):
    """A frozen reference of three groups with one score, fitted by the command's own orchestrator."""
    folder = tmp_path_factory.mktemp("reference")
    rng = np.random.default_rng(21)
    counts, p = world(rng, 150)
    sites = pd.DataFrame(
        {"chrom": "1", "pos": np.arange(900) * 1000 + 5, "id": [f"v{k}" for k in range(900)], "ref": "A", "alt": "C"}
    )
    panel = write_panel(folder / "panel", sites, counts, p.mean(axis=0).round(6))
    labels = folder / "labels.txt"
    labels.write_text("".join(f"S{i} {'XYZ'[i // 150]}\n" for i in range(450)))
    used = np.arange(0, 900, 2)
    weight = rng.normal(size=900)
    score = folder / "score.txt"
    head = "#pgs_id=S\n#trait_efo=T\nchr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\n"
    score.write_text(head + "".join(f"1\t{k * 1000 + 5}\tC\tA\t{weight[k]}\n" for k in used))
    told = fit_reference(
        panel.path, labels=str(labels), out=folder / "model", scores=[score], n_components=2, settings=Settings()
    )
    assert "450 people in 3 groups" in str(told)
    return {"folder": folder, "sites": sites, "score": score, "model": folder / "model", "used": used, "weight": weight}


def place(reference, write_panel, out, counts, rows=slice(None)):
    panel = write_panel(out, reference["sites"].iloc[rows], counts[rows], np.full(len(counts[rows]), 0.5))
    return compute(panel.path, [reference["score"]], settings=Settings(), ancestry_path=reference["model"])


def test_new_people_fall_into_their_groups_and_their_scores_are_standard(reference, write_panel, tmp_path):
    counts, _ = world(np.random.default_rng(2), 200)
    adjusted = place(reference, write_panel, tmp_path, counts).adjusted
    assert (adjusted.placement.group == np.array(list("XYZ")).repeat(200)).all()
    assert (adjusted.placement.probability > 0.99).all()
    assert not adjusted.beyond.any()
    z = adjusted.z_norm2[0].reshape(3, 200)
    assert (np.abs(z.mean(axis=1)) < 0.3).all()
    assert (np.abs(z.std(axis=1) - 1) < 0.2).all()


def test_mixtures_of_the_groups_are_within_and_another_population_is_beyond(reference, write_panel, tmp_path):
    shares = np.random.default_rng(3).dirichlet([1, 1, 1], 60)
    counts, _ = world(np.random.default_rng(4), 0, shares)
    assert not place(reference, write_panel, tmp_path / "mixed", counts).adjusted.beyond.any()
    _, p = world(np.random.default_rng(5), 1)
    opposite = np.clip(p[0] + 1.5 * (p[0] - p[1]), 0, 1)  # as far from Y as nobody in the reference
    strange = np.random.default_rng(5).binomial(2, opposite[:, None], (900, 20)).astype(np.int8)
    done = place(reference, write_panel, tmp_path / "far", strange)
    assert done.adjusted.beyond.all()
    assert np.isnan(done.adjusted.z_norm2).all()
    assert np.isfinite(done.sums.sums).all(), "the sum stands, its adjusted score is withheld"


def test_a_score_of_which_a_tenth_is_missing_keeps_its_mean_and_gains_an_interval(reference, write_panel, tmp_path):
    """The expected mean is that of the variants that were found; the interval says what the others could have added."""
    counts, _ = world(np.random.default_rng(6), 200)
    rows = np.setdiff1d(np.arange(900), reference["used"][::10])
    whole = place(reference, write_panel, tmp_path / "whole", counts).adjusted
    part = place(reference, write_panel, tmp_path / "part", counts, rows).adjusted
    z = part.z_norm2[0].reshape(3, 200)
    assert (np.abs(z.mean(axis=1)) < 0.3).all()
    assert (whole.z_low[0] == whole.z_high[0]).all(), "nothing is missing"
    inside = (part.z_low[0] < whole.z_norm2[0]) & (whole.z_norm2[0] < part.z_high[0])
    assert 0.9 < inside.mean() < 0.99


def test_one_person_is_placed_and_adjusted_as_in_a_cohort(reference, write_panel, tmp_path):
    counts, _ = world(np.random.default_rng(8), 30)
    counts[np.random.default_rng(9).random(counts.shape) < 0.05] = -9
    together = place(reference, write_panel, tmp_path / "all", counts).adjusted
    alone = place(reference, write_panel, tmp_path / "one", counts[:, [40]]).adjusted
    np.testing.assert_allclose(alone.z_norm2[0, 0], together.z_norm2[0, 40], rtol=1e-9)
    np.testing.assert_allclose(alone.placement.distance[0], together.placement.distance[40], rtol=1e-9)
    assert alone.z_low[0, 0] < alone.z_norm2[0, 0] < alone.z_high[0, 0]


def test_a_score_the_reference_does_not_know_is_not_adjusted(reference, write_panel, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text(reference["score"].read_text().replace("#pgs_id=S", "#pgs_id=OTHER"))
    counts, _ = world(np.random.default_rng(10), 5)
    panel = write_panel(tmp_path, reference["sites"], counts, np.full(900, 0.5))
    out = tmp_path / "out.parquet"
    prs(panel.path, [reference["score"], other], out=out, settings=Settings(), ancestry=reference["model"])
    found = pd.read_parquet(out).set_index(["sample_id", "score_id"]).unstack()
    assert found["z_norm2"]["S"].notna().all()
    assert found["z_norm2"]["OTHER"].isna().all()
    assert (found["not_scored"]["OTHER"] == "the ancestry reference was not fitted on this score").all()
    assert (found["sum"]["S"] == found["sum"]["OTHER"]).all()


def test_scores_of_one_trait_tell_how_far_they_disagree(reference, write_panel, tmp_path):
    """Two scores of a trait: the spread is the difference of their z."""
    rng = np.random.default_rng(12)
    counts, p = world(rng, 60)
    second = tmp_path / "second.txt"
    lines = reference["score"].read_text().replace("#pgs_id=S", "#pgs_id=SECOND").splitlines()
    second.write_text("\n".join(lines[:200]) + "\n")
    panel = write_panel(tmp_path, reference["sites"], counts, p.mean(axis=0).round(6))
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"S{i} {'XYZ'[i // 60]}\n" for i in range(180)))
    scores = [reference["score"], second]
    fit_reference(panel.path, labels=str(labels), out=tmp_path / "model", scores=scores, settings=Settings())
    prs(panel.path, scores, out=tmp_path / "out.parquet", settings=Settings(), ancestry=tmp_path / "model")
    found = pd.read_parquet(tmp_path / "out.parquet").set_index(["sample_id", "score_id"]).unstack()
    difference = (found["z_norm2"]["S"] - found["z_norm2"]["SECOND"]).abs()
    np.testing.assert_allclose(found["trait_spread"]["S"], difference)


def test_a_frozen_reference_that_was_touched_is_refused(reference, tmp_path):
    import shutil

    copy = shutil.copytree(reference["model"], tmp_path / "model")
    assert read_model(copy).version == json.loads((copy / "model.json").read_text())["version"]
    (copy / "sites.parquet").write_bytes((copy / "sites.parquet").read_bytes()[:-1])
    with pytest.raises(PresageError, match="expected the file that was frozen, found another"):
        read_model(copy)


def test_a_frozen_reference_is_the_same_whenever_it_is_fitted(reference, tmp_path):
    folder = reference["folder"]
    for name in ("one", "two"):
        fit_reference(
            folder / "panel" / "panel.pgen",
            labels=str(folder / "labels.txt"),
            out=tmp_path / name,
            scores=[reference["score"]],
            n_components=2,
            settings=Settings(),
        )
    assert (
        read_model(tmp_path / "one").version
        == read_model(tmp_path / "two").version
        == read_model(reference["model"]).version
    )
    with pytest.raises(PresageError, match="expected a name that is free"):
        fit_reference(
            folder / "panel" / "panel.pgen",
            labels=str(folder / "labels.txt"),
            out=tmp_path / "one",
            settings=Settings(),
        )


@pytest.mark.realdata
def test_verifybamid_loadings_place_the_1000_genomes_in_their_groups(real_data, tmp_path, write_panel):
    """Counts made from the published loadings and people's components are projected back onto these components."""
    folder = real_data / "genomics" / "panels" / "verifybamid_loadings"
    prefix = folder / "1000g.phase3.10k.b37.vcf.gz.dat"
    panel = pd.read_csv(folder.parent / "integrated_call_samples_v3.20130502.ALL.panel", sep="\t", usecols=[0, 1, 2])
    labels = tmp_path / "labels.txt"
    panel[["sample", "super_pop"]].to_csv(labels, sep=" ", header=False, index=False)
    told = fit_reference(prefix, labels=str(labels), out=tmp_path / "model", settings=Settings())
    assert "2,504 people in 5 groups" in str(told)
    people, components = read_loadings(prefix)
    chosen = np.random.default_rng(0).choice(len(people), 60, replace=False)
    sites = components.sites
    expected = np.clip(sites.mean[:, None] + sites.loadings @ components.people[chosen].T, 0, 2)
    counts = np.random.default_rng(1).binomial(2, expected / 2).astype(np.int8)
    known = pd.Series(dict(zip(sites.ref, sites.alt, strict=True)))
    assert known.notna().all()
    order = np.argsort(sites.keys, kind="stable")
    table = pd.DataFrame(
        {
            "chrom": (sites.keys[order] >> 32).astype(str),
            "pos": sites.keys[order] & (2**32 - 1),
            "id": [f"v{k}" for k in range(len(order))],
            "ref": np.array(sites.ref)[order],
            "alt": np.array(sites.alt)[order],
        }
    )
    target = write_panel(tmp_path / "target", table, counts[order], np.full(len(order), 0.5))
    first = table.iloc[0]
    score = tmp_path / "score.txt"
    head = "chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\n"
    score.write_text(head + f"{first['chrom']}\t{first['pos']}\t{first['alt']}\t{first['ref']}\t1\n")
    done = compute(target.path, [score], settings=Settings(min_overlap=0), ancestry_path=tmp_path / "model")
    truth = panel.set_index("sample")["super_pop"][list(np.array(people)[chosen])]
    agree = done.adjusted.placement.group == truth.to_numpy()
    assert agree.mean() > 0.9
    standard = read_model(tmp_path / "model").standardise(components.people[chosen])
    correlation = [np.corrcoef(done.adjusted.placement.components[:, k], standard[:, k])[0, 1] for k in range(4)]
    assert min(correlation) > 0.9
