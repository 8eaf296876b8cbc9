"""Adjusted scores against regressions and projections done again in NumPy, where something is missing or differs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from features.polygenic.ancestry.model import read_model
from features.polygenic.prs import prs
from features.polygenic.reference import fit_reference
from features.polygenic.run import Settings, compute
from features.polygenic.scores import table as score_table

PAIR = ((1, "S"), (-2.5, "T"))
SITES, PER_GROUP = 800, 150
COLUMNS = "chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\tis_dominant\n"


@dataclass(frozen=True)
class World:
    """A panel of three groups and a score on every second site; half of its effect alleles are REF, some dominant."""

    folder: Path
    sites: pd.DataFrame
    frequency: np.ndarray  # (group, site) of ALT
    counts: np.ndarray  # (site, person) of the panel
    rows: pd.DataFrame  # of the score: site, ref (is the effect allele), weight, dominant
    score: Path
    labels: Path
    model: Path

    def people(self, seed: int, n: int) -> np.ndarray:
        """Counts of new people of each group."""
        truth = self.frequency.repeat(n, axis=0).T
        return np.random.default_rng(seed).binomial(2, truth).astype(np.int8)


def write_score(path: Path, rows: pd.DataFrame, name: str = "S") -> Path:
    alleles = {True: "A\tC", False: "C\tA"}
    lines = [
        f"1\t{row.site * 1000 + 5}\t{alleles[row.ref]}\t{row.weight}\t{row.dominant}\n" for row in rows.itertuples()
    ]
    path.write_text(f"#pgs_id={name}\n{COLUMNS}{''.join(lines)}")
    return path


def sums(rows: pd.DataFrame, counts: np.ndarray) -> np.ndarray:
    """The score of everybody, called at every site."""
    copies = np.where(rows["ref"].to_numpy()[:, None], 2 - counts[rows["site"]], counts[rows["site"]]).astype(float)
    copies = np.where(rows["dominant"].to_numpy()[:, None], np.minimum(copies, 1), copies)
    return rows["weight"].to_numpy() @ copies


@pytest.fixture(scope="module")
def world(write_panel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(33)
    frequency = rng.uniform(0.1, 0.9, (3, SITES))
    counts = rng.binomial(2, frequency.repeat(PER_GROUP, axis=0).T).astype(np.int8)
    numbers = np.arange(SITES)
    sites = pd.DataFrame(
        {"chrom": "1", "pos": numbers * 1000 + 5, "id": [f"v{k}" for k in numbers], "ref": "A", "alt": "C"}
    )
    panel = write_panel(folder / "panel", sites, counts, frequency.mean(axis=0).round(6))
    labels = folder / "labels.txt"
    labels.write_text("".join(f"S{i} {'XYZ'[i // PER_GROUP]}\n" for i in range(3 * PER_GROUP)))
    rows = pd.DataFrame({"site": numbers[::2], "weight": rng.normal(0.3, 1, SITES // 2)})
    rows["ref"], rows["dominant"] = rng.random(len(rows)) < 0.5, rng.random(len(rows)) < 0.1
    score = write_score(folder / "score.txt", rows)
    told = {"labels": str(labels), "scores": [score], "n_components": 2, "settings": Settings()}
    fit_reference(panel.path, out=folder / "model", **told)
    return World(folder, sites, frequency, counts, rows, score, labels, folder / "model")


def scored(world, write_panel, out, counts, *, rows=None, score=None, frequency=None, **settings):
    """The run on new people; `rows`: sites that their file has; `frequency`: of a reference file."""
    rows = np.arange(SITES) if rows is None else rows
    told = np.full(len(rows), 0.5) if frequency is None else frequency[rows].round(6)
    panel = write_panel(out, world.sites.iloc[rows], counts[rows], told)
    return compute(
        panel.path,
        [score or world.score],
        settings=Settings(**settings),
        ancestry_path=world.model,
        frequencies_path=None if frequency is None else panel.afreq,
    )


def design(components):
    return np.column_stack([np.ones(len(components)), components])


def test_over_all_sites_the_slopes_are_the_regression_of_the_sum(world):
    """A theorem: least squares is linear in what is regressed. Whichever allele a row counts, and dominant or not."""
    told = json.loads((world.model / "model.json").read_text())["scores"]["S"]["mean"]
    table = read_model(world.model).score_parts["S"]
    np.testing.assert_allclose([sum(table[f"slope_{k}"].to_pylist()) for k in range(3)], told, rtol=1e-9, atol=1e-9)


def test_of_a_score_without_some_rows_the_mean_is_that_of_the_rows_left(world, write_panel, tmp_path):
    """Against a regression of the shorter score on the panel, whose sums are added up here."""
    counts = world.people(1, 40)
    absent = world.rows["site"].to_numpy()[::8]
    left = world.rows[~world.rows["site"].isin(absent)]
    done = scored(world, write_panel, tmp_path, counts, rows=np.setdiff1d(np.arange(SITES), absent))
    panel = compute(
        world.folder / "panel" / "panel.pgen", [world.score], settings=Settings(), ancestry_path=world.model
    ).adjusted.placement.components
    by_hand = np.linalg.lstsq(design(panel), sums(left, world.counts), rcond=None)[0]
    residual = sums(left, counts) - design(done.adjusted.placement.components) @ by_hand
    z = done.adjusted.z_norm1[0]
    ratio = residual / z
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)
    assert np.abs(done.adjusted.z_norm2[0].reshape(3, 40).mean(axis=1)).max() < 0.5


def test_a_row_that_the_panel_lacks_adds_its_expectation_and_no_more(world, write_panel, tmp_path):
    """A reference fitted without one site: its carriers are not far out, and nobody is shifted."""
    absent = int(world.rows["site"].iloc[10])
    kept = np.setdiff1d(np.arange(SITES), [absent])
    mean = world.frequency.mean(axis=0)
    panel = write_panel(tmp_path / "panel", world.sites.iloc[kept], world.counts[kept], mean[kept])
    told = {"labels": str(world.labels), "scores": [world.score], "n_components": 2, "settings": Settings()}
    fit_reference(panel.path, out=tmp_path / "model", **told)
    counts = world.people(2, 60)
    whole = write_panel(tmp_path / "whole", world.sites, counts, mean.round(6))
    both = {"ancestry_path": tmp_path / "model", "frequencies_path": whole.afreq}
    run = compute(whole.path, [world.score], settings=Settings(), **both)
    done = run.adjusted
    part = write_panel(tmp_path / "part", world.sites.iloc[kept], counts[kept], mean[kept])
    without = compute(part.path, [world.score], settings=Settings(), ancestry_path=tmp_path / "model").adjusted
    row = world.rows.iloc[10]
    added = sums(world.rows.iloc[[10]], counts)
    f = 1 - mean[absent] if row.ref else mean[absent]
    expected = row.weight * (1 - (1 - f) ** 2 if row.dominant else 2 * f)
    gap = done.z_norm1[0] - without.z_norm1[0]
    assert abs(np.polyfit(added - expected, gap, 1)[1]) < 0.01
    carried = 1 - (1 - f) ** 2
    own = row.weight**2 * (carried * (1 - carried) if row.dominant else 2 * f * (1 - f))
    others = sum(read_model(tmp_path / "model").score_parts["S"]["variance"].to_pylist())
    assert run.scores[0].known.ratio == pytest.approx(1 + own / others)
    heavy = world.rows.assign(weight=np.where(world.rows["site"] == absent, 40.0, world.rows["weight"]))
    score = write_score(tmp_path / "heavy.txt", heavy)
    told["scores"] = [score]
    fit_reference(panel.path, out=tmp_path / "heavy", **told)
    both["ancestry_path"] = tmp_path / "heavy"
    withheld = compute(whole.path, [score], settings=Settings(), **both).adjusted
    assert "the ancestry reference lacks" in withheld.withheld[0], "one row of 400, most of the variance"
    assert np.isnan(withheld.z_norm2).all()


@pytest.mark.parametrize(("share", "of_group"), [(0.05, None), (0.2, None), (0.2, 0)])
def test_who_is_called_at_fewer_sites_stands_where_they_stood(world, write_panel, tmp_path, share, of_group):
    """Against least squares on each person's called sites alone; a mean in their stead draws people to the middle."""
    counts = world.people(3, 60)
    whole = scored(world, write_panel, tmp_path / "whole", counts).adjusted
    holes = counts.copy()
    holes[np.random.default_rng(4).random(counts.shape) < share] = -9
    frequency = None if of_group is None else world.frequency[of_group]
    done = scored(world, write_panel, tmp_path / "holes", holes, frequency=frequency).adjusted
    table = read_model(world.model).sites
    use = table.of_components
    place = {key: k for k, key in enumerate((1 << 32) + world.sites["pos"].to_numpy())}
    rows = [place[key] for key in table.keys[use].tolist()]
    model = read_model(world.model)
    for person in range(0, 180, 20):
        called = holes[rows, person] >= 0
        standard = ((holes[rows, person] - table.mean[use]) / table.scale[use])[called]
        alone = np.linalg.lstsq(table.loadings[use][called], standard, rcond=None)[0]
        np.testing.assert_allclose(done.placement.components[person], model.standardise(alone), atol=0.12)
    for k in range(2):
        slope, shift = np.polyfit(whole.placement.components[:, k], done.placement.components[:, k], 1)
        assert slope == pytest.approx(1, abs=0.02)
        assert shift == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("of_group", [None, 0, 1])
def test_missing_calls_shift_nobody_from_their_own_group(world, write_panel, tmp_path, of_group):
    """They stand at the frequencies of the reference, or of a file of one group: neither is everybody's own.

    Of a score on which the groups differ by many SD, as height's do.
    """
    gap = world.frequency[0] - world.frequency[1]
    rows = world.rows.assign(weight=np.where(world.rows["ref"], -1, 1) * gap[world.rows["site"]])
    score = write_score(tmp_path / "score.txt", rows)
    told = {"labels": str(world.labels), "scores": [score], "n_components": 2, "settings": Settings()}
    fit_reference(world.folder / "panel" / "panel.pgen", out=tmp_path / "model", **told)
    apart = replace(world, model=tmp_path / "model", score=score)
    counts = world.people(5, 250)
    whole = scored(apart, write_panel, tmp_path / "whole", counts).adjusted
    raw = sums(rows, counts).reshape(3, 250)
    assert np.ptp(raw.mean(axis=1)) > 4 * raw.std(axis=1).mean()
    holes = counts.copy()
    used = np.isin(np.arange(SITES), rows["site"])
    holes[(np.random.default_rng(6).random(counts.shape) < 0.2) & used[:, None]] = -9
    frequency = None if of_group is None else world.frequency[of_group]
    done = scored(apart, write_panel, tmp_path / "holes", holes, frequency=frequency, min_overlap=0.5).adjusted
    for name in ("z_norm1", "z_norm2"):
        shift = (getattr(done, name)[0] - getattr(whole, name)[0]).reshape(3, 250).mean(axis=1)
        assert np.abs(shift).max() < 0.15, name


def test_the_interval_holds_far_from_the_middle_too(world, write_panel, tmp_path):
    """Of people in the top eighth: their score on all variants is nearer to 0 than the one on some."""
    counts = world.people(7, 700)
    absent = world.rows["site"].to_numpy()[::2]
    whole = scored(world, write_panel, tmp_path / "whole", counts).adjusted.z_norm2[0]
    rows = np.setdiff1d(np.arange(SITES), absent)
    done = scored(world, write_panel, tmp_path / "part", counts, rows=rows, min_overlap=0.4).adjusted
    inside = (done.z_low[0] <= whole) & (whole <= done.z_high[0])
    top = done.z_norm2[0] > np.quantile(done.z_norm2[0], 0.875)
    assert 0.92 < inside.mean() < 0.98
    assert 0.92 < inside[top].mean() < 0.98


def test_the_more_is_missing_the_wider_the_interval(world, write_panel, tmp_path):
    counts = world.people(8, 2)
    holes = np.repeat(counts[:, :1], 5, axis=1)
    sites = world.rows["site"].to_numpy()
    for person in range(5):
        holes[sites[: 20 * person], person] = -9
    done = scored(world, write_panel, tmp_path, holes).adjusted
    width = done.z_high[0] - done.z_low[0]
    assert width[0] == 0
    assert (np.diff(width) > 0).all()


@pytest.mark.parametrize("change", [lambda w: 2 * w, lambda w: -w, lambda w: np.where(np.arange(len(w)) == 7, 3, w)])
def test_a_score_of_the_same_name_with_other_weights_is_not_adjusted(world, write_panel, tmp_path, change):
    """The name is what a file says of itself; the reference holds the weights it was fitted on."""
    other = write_score(tmp_path / "other.txt", world.rows.assign(weight=change(world.rows["weight"].to_numpy())))
    done = scored(world, write_panel, tmp_path, world.people(9, 3), score=other).adjusted
    assert done.withheld == ("its weights are not those that the ancestry reference was fitted on",)
    assert np.isnan(done.z_norm2).all()


def test_the_same_score_on_the_other_strand_or_in_swapped_genotypes_is_adjusted(world, write_panel, tmp_path):
    counts = world.people(10, 5)
    expected = scored(world, write_panel, tmp_path / "plain", counts).adjusted.z_norm2[0]
    flipped = tmp_path / "flipped.txt"
    text = world.score.read_text().split("\n", 2)
    flipped.write_text(
        "\n".join(text[:2]) + "\n" + text[2].replace("\tA\tC\t", "\tT\tG\t").replace("\tC\tA\t", "\tG\tT\t")
    )
    done = scored(world, write_panel, tmp_path / "flip", counts, score=flipped).adjusted
    np.testing.assert_allclose(done.z_norm2[0], expected, rtol=1e-9)
    swapped = world.sites.assign(ref="C", alt="A")
    panel = write_panel(tmp_path / "swapped", swapped, (2 - counts).astype(np.int8), np.full(SITES, 0.5))
    done = compute(panel.path, [world.score], settings=Settings(), ancestry_path=world.model).adjusted
    np.testing.assert_allclose(done.z_norm2[0], expected, rtol=1e-9)


def test_a_score_all_of_whose_variance_is_missing_is_not_adjusted(world, write_panel, tmp_path):
    """Eight of its ten variants are there, and nobody of the panel has them: nothing says how far a carrier is out."""
    counts = world.counts.copy()
    counts[:8] = 0
    panel = write_panel(tmp_path / "panel", world.sites, counts, np.full(SITES, 0.5))
    rows = pd.DataFrame({"site": range(10), "weight": 1.0, "ref": False, "dominant": False})
    score = write_score(tmp_path / "score.txt", rows)
    told = {"labels": str(world.labels), "scores": [score], "n_components": 2, "settings": Settings()}
    fit_reference(panel.path, out=tmp_path / "model", **told)
    few = np.setdiff1d(np.arange(SITES), [8, 9])
    people = write_panel(tmp_path / "people", world.sites.iloc[few], world.people(18, 5)[few], np.full(len(few), 0.5))
    done = compute(people.path, [score], settings=Settings(), ancestry_path=tmp_path / "model")
    assert done.scores[0].summary.n_matched == 8
    assert done.adjusted.withheld == ("of its variance in the ancestry reference 0% is at the variants matched here",)
    assert np.isnan(done.adjusted.z_norm2).all()


def test_two_variants_at_one_place_are_told_apart_by_both_alleles(world, write_panel, tmp_path):
    """A/C and A/G: the alternate of the one is on the other strand what that of the other is."""
    again = world.sites.iloc[:200].assign(id=[f"w{k}" for k in range(200)], alt="G")
    sites = pd.concat([world.sites, again]).sort_values(["pos", "alt"], kind="stable").reset_index(drop=True)
    counts = np.random.default_rng(14).binomial(2, 0.4, (len(sites), 450)).astype(np.int8)
    counts[sites["alt"] == "C"] = world.counts
    panel = write_panel(tmp_path / "panel", sites, counts, np.full(len(sites), 0.4))
    rows = [f"1\t{row.pos}\t{row.alt}\tA\t{1 + k / 100}\tFalse\n" for k, row in enumerate(sites.itertuples())]
    score = tmp_path / "score.txt"
    score.write_text(f"#pgs_id=S\n{COLUMNS}{''.join(rows)}")
    told = {"labels": str(world.labels), "scores": [score], "n_components": 2, "settings": Settings()}
    fit_reference(panel.path, out=tmp_path / "model", **told)
    known = compute(panel.path, [score], settings=Settings(), ancestry_path=tmp_path / "model").scores[0].known
    assert (known.foreign, known.reweighted) == (0, 0)
    assert known.ratio == pytest.approx(1)
    np.testing.assert_allclose(known.shift, 0, atol=1e-9)


def test_the_user_says_where_the_reference_ends(world, write_panel, tmp_path):
    """By the chance of a larger distance: of squares of two components, chi-square with two degrees of freedom."""
    panel = write_panel(tmp_path, world.sites, world.people(17, 40), np.full(SITES, 0.5))
    out = tmp_path / "out.csv"
    command = [Path(sys.executable).with_name("presage"), "prs", panel.path, "--scores", world.score, "--out", out]
    subprocess.run([*command, "--ancestry", world.model, "--beyond", "0.3"], check=True, capture_output=True)
    found = pd.read_csv(out)
    beyond = found["ancestry_distance"] > np.sqrt(-2 * np.log(0.3))
    assert 0 < beyond.sum() < len(found)
    assert (found["z_norm2"].isna() == beyond).all()
    assert (found["not_scored"].notna() == beyond).all()
    assert found["not_scored"][beyond].str.startswith("beyond the ancestry reference").all()


def test_who_is_hardly_called_gets_no_adjusted_score_and_is_told_why(world, write_panel, tmp_path):
    """A person without calls would otherwise stand in the middle of everything with a z of 0."""
    counts = world.people(11, 2)
    used = np.isin(np.arange(SITES), world.rows["site"])
    rng = np.random.default_rng(12)
    counts[used & (rng.random(SITES) < 0.3), 1] = -9
    counts[~used, 2] = -9
    counts[used & (rng.random(SITES) < 0.1), 2] = -9
    counts[:, 3] = -9
    panel = write_panel(tmp_path, world.sites, counts, np.full(SITES, 0.5))
    told = str(prs(panel.path, [world.score], out=tmp_path / "out.csv", settings=Settings(), ancestry=world.model))
    assert "S: too few variants are called in 2 people" in told
    assert "2 people hardly called: no adjusted score" in told
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["sum"].notna().all()
    assert found["z_norm2"].notna().tolist() == [True, False, False, False, True, True]
    assert found["percentile"].notna().tolist() == [True, False, False, False, True, True]
    assert found["ancestry_group"].notna().tolist() == [True, True, False, False, True, True]
    said = found["not_scored"].fillna("").tolist()
    assert "too few of its variants are called in this person" in said[1]
    assert "too few of the ancestry reference's sites are called in this person" in said[2]
    assert said[3]
    assert (said[0], said[4], said[5]) == ("", "", "")
    report = json.loads((tmp_path / "out.report.json").read_text())
    assert (report["ancestry"]["unplaced"], report["scores"][0]["few_called"]) == (2, 2)


def test_scores_of_a_trait_are_compared_as_far_as_a_person_has_them(world, write_panel, tmp_path):
    """Three scores on a third of the sites each; of the last the second person is not called."""
    parts = [world.rows.iloc[k::3] for k in range(3)]
    scores = [write_score(tmp_path / f"{k}.txt", part, f"S{k}") for k, part in enumerate(parts)]
    for path in scores:
        path.write_text("#trait_efo=EFO_1\n" + path.read_text())
    told = {"labels": str(world.labels), "scores": scores, "n_components": 2, "settings": Settings()}
    fit_reference(world.folder / "panel" / "panel.pgen", out=tmp_path / "model", **told)
    counts = world.people(15, 1)
    counts[parts[2]["site"], 1] = -9
    panel = write_panel(tmp_path / "people", world.sites, counts, np.full(SITES, 0.5))
    prs(panel.path, scores, out=tmp_path / "out.csv", settings=Settings(), ancestry=tmp_path / "model")
    found = pd.read_csv(tmp_path / "out.csv").pivot(index="sample_id", columns="score_id")
    z, spread = found["z_norm2"].to_numpy(), found["trait_spread"].to_numpy()
    assert np.isnan(z).tolist() == [[False] * 3, [False, False, True], [False] * 3]
    np.testing.assert_allclose(spread[0], np.ptp(z[0]))
    np.testing.assert_allclose(spread[1], [np.ptp(z[1, :2])] * 2 + [np.nan])


def test_a_list_of_variants_places_nobody(world, write_panel, tmp_path):
    """Where they differ from the reference is who they are: on these sites alone everybody stands somewhere else."""
    counts = world.people(16, 1)[:, 0]
    head = "##fileformat=VCFv4.2\n##contig=<ID=1>\n" + '##FORMAT=<ID=GT,Number=1,Type=String,Description="G">\n'
    columns = "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", "S0"])
    calls = [
        f"1\t{k * 1000 + 5}\t.\tA\tC\t.\t.\t.\tGT\t{('0/0', '0/1', '1/1')[count]}" for k, count in enumerate(counts)
    ]
    told = {}
    for name, kept in (("all", calls), ("variants", [call for call in calls if not call.endswith("0/0")])):
        path = tmp_path / f"{name}.vcf"
        path.write_text("\n".join([head + columns, *kept]) + "\n")
        settings = Settings(min_overlap=0.3)
        told[name] = compute(path, [world.score], settings=settings, ancestry_path=world.model).adjusted
        settings = Settings(assume_reference=True)
        assumed = compute(path, [world.score], settings=settings, ancestry_path=world.model).adjusted
        np.testing.assert_allclose(assumed.z_norm2, told["all"].z_norm2, rtol=1e-9)
    assert np.isfinite(told["all"].z_norm2).all()
    assert told["variants"].placement is None
    assert "the genotypes list only variants" in told["variants"].withheld[0]


def test_a_variant_that_nobody_of_the_panel_is_called_at_is_left_out(world, write_panel, tmp_path):
    counts = world.counts.copy()
    counts[int(world.rows["site"].iloc[3])] = -9
    panel = write_panel(tmp_path / "panel", world.sites, counts, np.full(SITES, 0.5))
    told = {"labels": str(world.labels), "scores": [world.score], "n_components": 2, "settings": Settings()}
    fit_reference(panel.path, out=tmp_path / "model", **told)
    people = write_panel(tmp_path / "people", world.sites, world.people(13, 4), np.full(SITES, 0.5))
    done = compute(people.path, [world.score], settings=Settings(), ancestry_path=tmp_path / "model")
    assert np.isfinite(done.adjusted.z_norm2).all()
    assert done.scores[0].summary.reasons["no reference frequency"][0] == 1


def test_relatives_left_out_leave_the_slopes_a_regression_of_the_others(world, tmp_path):
    """The theorem again, on the people the regression is fitted on."""
    listed = tmp_path / "related.txt"
    listed.write_text("#IID\n" + "".join(f"S{i}\n" for i in range(320, 440)))
    told = {"labels": str(world.labels), "scores": [world.score], "n_components": 2, "settings": Settings()}
    panel = world.folder / "panel" / "panel.pgen"
    fit_reference(panel, out=tmp_path / "model", unrelated=listed, **told)
    mean = json.loads((tmp_path / "model" / "model.json").read_text())["scores"]["S"]["mean"]
    table = read_model(tmp_path / "model").score_parts["S"]
    np.testing.assert_allclose([sum(table[f"slope_{k}"].to_pylist()) for k in range(3)], mean, rtol=1e-9, atol=1e-9)
    for people, said in (
        (range(100, 450), "at most half of the panel left out, found 78%"),
        (range(900, 905), "expected ids of the panel's samples, found none"),
    ):
        listed.write_text("".join(f"S{i}\n" for i in people))
        with pytest.raises(PresageError, match=said):
            fit_reference(panel, out=tmp_path / "no", unrelated=listed, **told)
    other = tmp_path / "other.txt"
    other.write_text("#genome_build=GRCh37\n" + world.score.read_text())
    told |= {"settings": Settings(build="GRCh38")}
    with pytest.raises(PresageError, match="the score is on GRCh37, the genotypes are on GRCh38"):
        fit_reference(panel, out=tmp_path / "no", **(told | {"scores": [other]}))
    with pytest.raises(PresageError, match="expected a name that is free"):
        fit_reference(tmp_path / "not.pgen", out=tmp_path / "model", **told)
    with pytest.raises(
        PresageError, match=r"--labels, panel\.psam: expected a file of labels, or a column of panel\.psam: "
    ):
        fit_reference(panel, out=tmp_path / "no", **(told | {"labels": "SuperPop"}))
    with pytest.raises(PresageError, match="expected every score once, found S a second time"):
        fit_reference(panel, out=tmp_path / "no", **(told | {"scores": [world.score, world.score]}))


@pytest.mark.parametrize("at_once", [1, 1 << 26])
def test_a_table_of_scores_is_adjusted_as_their_own_files_are(world, write_panel, tmp_path, monkeypatch, at_once):
    rows = world.rows.assign(dominant=False)
    files = [write_score(tmp_path / f"{name}.txt", rows.assign(weight=rows["weight"] * k), name) for k, name in PAIR]
    fit_reference(
        next(world.folder.rglob("*.pgen")),
        labels=str(world.labels),
        scores=files,
        out=tmp_path / "model",
        n_components=2,
        settings=Settings(),
    )
    table = tmp_path / "table.txt"
    lines = [
        f"1:{row.site * 1000 + 5}:A:C\t{'A' if row.ref else 'C'}\t" + "\t".join(str(row.weight * k) for k, _ in PAIR)
        for row in rows.itertuples()
    ]
    table.write_text("ID\teffect_allele\t" + "\t".join(name for _, name in PAIR) + "\n" + "\n".join(lines) + "\n")
    monkeypatch.setattr(score_table, "_AT_ONCE_BYTES", at_once)
    panel = write_panel(tmp_path / "new", world.sites, world.people(3, 20), np.full(SITES, 0.5))
    one, many = (
        compute(panel.path, paths, settings=Settings(), ancestry_path=tmp_path / "model") for paths in ([table], files)
    )
    assert np.isfinite(one.adjusted.z_norm2).all()
    for name in ("z_norm1", "z_norm2", "percentile", "z_low", "z_high"):
        np.testing.assert_allclose(getattr(one.adjusted, name), getattr(many.adjusted, name), rtol=1e-9, atol=1e-9)
