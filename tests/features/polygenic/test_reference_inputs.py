"""What `presage ancestry fit` takes and refuses: labels, loadings, scores that a group lacks."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from features.errors import PresageError
from features.polygenic.ancestry.adjustment import fit_adjustment
from features.polygenic.ancestry.loadings import read_loadings
from features.polygenic.ancestry.model import read_model
from features.polygenic.columns.variants import chromosome_code
from features.polygenic.reference import fit_reference, read_labels
from features.polygenic.run import Settings

PEOPLE = ("S1", "S2", "S3")


@pytest.mark.parametrize(
    "content",
    [
        "S1\tSouth Asian\nS2\tSouth African\nS3\tSouth Asian\n",
        "S1,South Asian\r\nS2,South African\r\nS3,South Asian\r\n",
        "\ufeffS1\tSouth Asian\tx\nS2\tSouth African\ty\n\nS3 \t South Asian\tz\n",
        "sample,group\nS1, South Asian\nS2, South African\nS3, South Asian\nS9, nobody\n",
    ],
)
def test_a_groups_name_may_hold_blanks(content, tmp_path):
    """Cut at the first blank, two groups of the south would be one."""
    labels = tmp_path / "labels.txt"
    labels.write_bytes(content.encode())
    assert read_labels(str(labels), tmp_path / "panel.pgen", sample_ids=PEOPLE) == [
        "South Asian",
        "South African",
        "South Asian",
    ]


def test_labels_between_blanks_and_in_the_psam(tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("S1 A\nS2   B\nS3 A\n")
    assert read_labels(str(labels), tmp_path / "panel.pgen", sample_ids=PEOPLE) == ["A", "B", "A"]
    (tmp_path / "panel.psam").write_text("##made=by hand\n#IID\tSEX\tGroup\nS1\t1\tThe A\nS2\t2\tB\nS3\t1\tThe A\n")
    assert read_labels("Group", tmp_path / "panel.pgen", sample_ids=PEOPLE) == ["The A", "B", "The A"]
    labels.write_bytes(b"S1\tA\nS2\t\xff\xfe\nS3\tA\n")
    with pytest.raises(PresageError, match=r"labels\.txt: expected text in UTF-8"):
        read_labels(str(labels), tmp_path / "panel.pgen", sample_ids=PEOPLE)
    labels.write_text("S1\tA\nS2\t\nS3\tA\n")
    with pytest.raises(PresageError, match="expected a group for each of the 3 samples, found none for 1 of them"):
        read_labels(str(labels), tmp_path / "panel.pgen", sample_ids=PEOPLE)


@pytest.fixture
def loadings(tmp_path):
    """Four files as verifyBamID2 ships them: 60 sites, 80 people of two groups, three components."""
    rng = np.random.default_rng(1)
    prefix = tmp_path / "panel.dat"
    weight, people = rng.normal(size=(60, 3)), rng.normal(size=(80, 3))
    people[:40, 0] += 4
    files = {
        "UD": ["\t".join(f"{value:.5f}" for value in row) for row in weight],
        "mu": [f"1:{k + 1}_A/C\t{rng.uniform(0.2, 1.8):.5f}" for k in range(60)],
        "bed": [f"1\t{k}\t{k + 1}\tA\tC" for k in range(60)],
        "V": ["\t".join([f"P{k}", *(f"{value:.5f}" for value in row)]) for k, row in enumerate(people)],
    }
    for kind, lines in files.items():
        Path(f"{prefix}.{kind}").write_text("\n".join(lines) + "\n")
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"P{k}\t{'A' if k < 40 else 'B'}\n" for k in range(80)))
    return prefix, str(labels)


def test_loadings_keep_the_build_and_the_components_that_are_asked_for(loadings, tmp_path):
    prefix, labels = loadings
    told = fit_reference(
        prefix, labels=labels, out=tmp_path / "model", n_components=2, settings=Settings(build="GRCh38")
    )
    assert "80 people in 2 groups, 2 components of 60 sites" in str(told)
    model = read_model(tmp_path / "model")
    assert model.build == "GRCh38"
    assert model.sites.loadings.shape == (60, 2)
    assert model.centres.shape == (2, 2)


@pytest.mark.parametrize(
    ("kind", "line", "cells", "said"),
    [
        ("UD", 7, "0.1\t0.2", r"panel\.dat\.UD, line 7: expected 3 numbers"),
        ("UD", 7, "0.1\t0.2\tnan", r"panel\.dat\.UD, line 7: expected 3 numbers"),
        ("mu", 3, "1:3_A/C", r"panel\.dat\.mu, line 3: expected at least 2 columns"),
        ("mu", 3, "1:3_A/C\tx", r"panel\.dat\.mu, line 3: expected a number"),
        ("bed", 60, "", r"expected as many rows in \.UD as in \.mu and \.bed, found 60, 60 and 59"),
        ("V", 2, "P1\t1\t2\t3\t4", r"panel\.dat\.V, line 2: expected 3 numbers"),
    ],
)
def test_damaged_loadings_name_file_and_line(loadings, tmp_path, kind, line, cells, said):
    prefix, labels = loadings
    path = Path(f"{prefix}.{kind}")
    lines = path.read_text().splitlines()
    lines[line - 1] = cells
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(PresageError, match=said):
        fit_reference(prefix, labels=labels, out=tmp_path / "model", n_components=3, settings=Settings())
    assert not (tmp_path / "model").exists()


def test_loadings_score_nobody_and_have_no_more_components_than_they_have(loadings, tmp_path):
    prefix, labels = loadings
    with pytest.raises(PresageError, match="--scores: expected a panel with genotypes to score, found loadings alone"):
        fit_reference(prefix, labels=labels, out=tmp_path / "m", scores=[tmp_path / "s.txt"], settings=Settings())
    with pytest.raises(PresageError, match="expected 4 components or more, found 3"):
        fit_reference(prefix, labels=labels, out=tmp_path / "m", settings=Settings())


def test_a_score_that_one_group_lacks_has_one_variance(tmp_path):
    """A carrier in the group without the variant is unusual, not 17 million SD away."""
    rng = np.random.default_rng(0)
    group = np.arange(3).repeat(200)
    components = np.array([[-1, 0], [1, -0.5], [0.3, 1.5]])[group] + rng.normal(0, 0.1, (600, 2))
    components = (components - components.mean(axis=0)) / components.std(axis=0)
    sums = rng.binomial(2, np.array([0.3, 0.4, 0.0])[group]).astype(float)
    fit = fit_adjustment(sums, components)
    carriers, place = np.ones(1), components[group == 2][:1]
    assert np.abs(fit.z_norm2(carriers, place)).max() < 5
    np.testing.assert_allclose(fit.z_norm2(sums, components), fit.z_norm1(sums, components), rtol=1e-9)
    usual = sums + rng.normal(0, 0.3, 600)
    several = fit_adjustment(usual, components)
    assert (several.z_norm2(usual, components) != several.z_norm1(usual, components)).any()


@pytest.mark.realdata
def test_published_loadings_count_the_alternate_of_the_1000_genomes(real_data):
    """Half of mu against the calls of 3,202 people at the sites that a small panel shares: which allele is counted."""
    panels = real_data / "genomics" / "panels"
    _, components = read_loadings(panels / "verifybamid_loadings" / "1000g.phase3.100k.b38.vcf.gz.dat")
    sites = components.sites
    told = dict(zip(zip(sites.keys.tolist(), sites.ref, sites.alt, strict=True), sites.frequency, strict=True))
    pairs = []
    with gzip.open(panels / "tiny1000G" / "tiny1000G.vcf.gz", "rt") as stream:
        for line in stream:
            cells = line.split("\t")
            if line.startswith("#"):
                continue
            place = ((chromosome_code(cells[0]) << 32) + int(cells[1]), cells[3], cells[4])
            if place in told:
                calls = "".join(cell[:3] for cell in cells[9:])
                pairs.append((told[place], calls.count("1") / (calls.count("0") + calls.count("1"))))
    ours, theirs = np.array(pairs).T
    assert len(pairs) == 36
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    assert np.abs(ours - theirs).max() < 0.05
