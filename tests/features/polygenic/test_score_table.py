"""Tables of several scores: read a piece at a time, and again where their weights are wanted."""

from __future__ import annotations

import gc
import gzip
from contextlib import closing

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from features.polygenic.columns import text
from features.polygenic.columns.variants import Alleles
from features.polygenic.run import Settings, compute
from features.polygenic.scores.catalog import read_scores
from features.polygenic.scores.table import ScoreTable

N, SCORES = 3000, 21


@pytest.fixture(scope="module")
def panel(write_panel, tmp_path_factory):
    """600 people, 3,000 variants, and weights of many spellings."""
    rng = np.random.default_rng(8)
    folder = tmp_path_factory.mktemp("panel")
    variants = pd.DataFrame({"chrom": "1", "pos": np.arange(1, N + 1), "id": [f"v{k}" for k in range(N)], "ref": "A"})
    frequency = rng.uniform(0.05, 0.95, N).round(6)
    counts = rng.binomial(2, frequency[:, None], (N, 600)).astype(np.int8)
    counts[rng.random(counts.shape) < 0.02] = -9
    made = write_panel(folder, variants.assign(alt="C"), counts, frequency)
    spellings = ["%.6g", "%.3f", "%.12f", "%.1e", "%.6f", "%+.4f", "%.0f"]
    weights = rng.normal(0, 2, (N, SCORES))
    cells = [[spellings[(row + k) % 7] % weights[row, k] for k in range(SCORES)] for row in range(N)]
    cells[2500:] = [[f"{weight:.17g}" for weight in row] for row in weights[2500:]]  # which are read the slow way
    effect = rng.choice(["A", "C"], N)
    lines = [f"1:{row + 1}:A:C\t{effect[row]}\t" + "\t".join(cells[row]) for row in range(N)]
    return made, lines, np.array(cells, float), effect, np.where(counts < 0, 2 * frequency[:, None], counts)


def written(folder, lines, name="table.txt"):
    names = "\t".join(f"S{k}" for k in range(SCORES))
    content = f"ID\teffect_allele\t{names}\n" + "".join(f"{line}\n" for line in lines)
    path = folder / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    return path


@pytest.mark.parametrize("piece", [700, 20_000, 1 << 20])
@pytest.mark.parametrize("name", ["table.txt", "table.txt.gz"])
@pytest.mark.parametrize("absent", [0, 300])
def test_pieces_of_any_size_give_numpys_sums(panel, tmp_path, monkeypatch, piece, name, absent):
    made, lines, weights, effect, expected = panel
    monkeypatch.setattr(text, "PIECE", piece)
    elsewhere = [line.replace("1:", "2:", 1) for line in lines[:absent]]
    path = written(tmp_path, [line for pair in zip(elsewhere, lines[:absent], strict=True) for line in pair])
    path = written(tmp_path, [*path.read_text().splitlines()[1:], *lines[absent:]], name)
    found = compute(made.path, [path], settings=Settings(), frequencies_path=made.afreq)
    of_effect = np.where(effect[:, None] == "C", expected, 2 - expected)
    np.testing.assert_allclose(found.sums.sums, weights.T @ of_effect, rtol=1e-10, atol=1e-9)
    total = np.abs(weights).sum(axis=0)
    share = total / (total + np.abs(weights[:absent]).sum(axis=0))
    np.testing.assert_allclose([score.summary.matched_weight for score in found.scores], share, rtol=1e-12)


@pytest.mark.parametrize("piece", [300, 1 << 20])
@pytest.mark.parametrize(
    ("cell", "rule"),
    [("x", "expected a number"), ("nan", "expected a finite number"), ("1e999", "finite"), ("", "finite")],
)
def test_a_weight_that_is_none_is_named_by_line_and_column(panel, tmp_path, monkeypatch, piece, cell, rule):
    _, lines, *_ = panel
    monkeypatch.setattr(text, "PIECE", piece)
    cells = lines[123].split("\t")
    cells[5] = cell
    path = written(tmp_path, [*lines[:123], "\t".join(cells), *lines[124:200]])
    columns = path.read_text().split("\n")[0].split("\t")
    with pytest.raises(PresageError, match=rule) as told:
        ScoreTable(path, columns, first_line=2, alleles=Alleles(), threads=2)
    assert "line 125, column S3" in str(told.value)


ROWS = [f"1:{k}:A:C\tA\t0.5\n" for k in range(1, 9)]
HEAD = "ID\teffect_allele\tS\n"


@pytest.mark.parametrize("piece", [30, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_are_counted_with_the_empty_ones(tmp_path, monkeypatch, piece, end):
    monkeypatch.setattr(text, "PIECE", piece)
    content = HEAD + ROWS[0] + "\n\n" + "".join(ROWS[1:4]) + "\n" * 60 + ROWS[4] + "\n"
    path = tmp_path / "table.txt"
    path.write_bytes(content.replace("\n", end).encode())
    with closing(ScoreTable(path, HEAD.split(), first_line=2, alleles=Alleles(), threads=2)) as table:
        assert table.rows.line.tolist() == [2, 5, 6, 7, 68]
        assert table.weights(np.arange(5)).ravel().tolist() == [0.5] * 5


@pytest.mark.parametrize("piece", [30, 1 << 20])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1:9:A:C\tA\tx", "line 8, column S: expected a number"),
        ("1:9:A:C\tA\t1_000", "line 8, column S: expected a number"),
        ("1:9:A:C\tA\tinf", "line 8, column S: expected a finite number"),
        ("1:9:A\tA\t0.5", "line 8, column ID"),
        ("1:9:A:C\tA", "line 8: expected 3 columns, found 2"),
    ],
)
def test_an_error_names_the_line_whatever_lies_before_it(tmp_path, monkeypatch, piece, line, told):
    monkeypatch.setattr(text, "PIECE", piece)
    path = tmp_path / "table.txt"
    before = ROWS[1].replace(":C", ":C\u2028\x1c")  # which some take for ends of lines
    path.write_text(f"{HEAD}{ROWS[0]}\n\n{before}{ROWS[2]}\n{line}\n{ROWS[3]}", encoding="utf-8")
    with pytest.raises(PresageError, match=told):
        ScoreTable(path, HEAD.split(), first_line=2, alleles=Alleles(), threads=2)


@pytest.mark.parametrize("name", ["table.txt", "table.txt.gz", "table.txt.bgz"])
def test_a_header_of_any_length_is_read(tmp_path, name):
    names = [f"a_score_of_a_rather_long_name_{k}" for k in range(5000)]
    content = "#comment\nID\teffect_allele\t" + "\t".join(names) + "\n1:5:A:C\tA" + "\t0.5" * 5000 + "\n"
    path = tmp_path / name
    path.write_bytes(content.encode() if name.endswith("txt") else gzip.compress(content.encode()))
    found = list(read_scores(path, Alleles(), build=None))
    assert [score.header.score_id for score in found] == names
    assert found[0].rows.line.tolist() == [3]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("place", [0, 1, 4])
def test_the_first_error_is_told_and_no_file_is_left_open(panel, tmp_path, threads, place):
    made, *_ = panel
    paths = []
    for number in range(6):
        broken = "1:9:A:C\tA\tx\n" if number in (place, 5) else ""
        paths.append(tmp_path / f"table{number}.txt")
        paths[-1].write_text(f"ID\teffect_allele\tS{number}\n{''.join(ROWS)}{broken}")
    with pytest.raises(PresageError, match=f"table{place}.txt, line 10, column S{place}"):
        compute(made.path, paths, settings=Settings(threads=threads))
    gc.collect()  # a file that is closed only now is a warning, and an error here


def test_threads_read_the_same(panel, tmp_path, monkeypatch):
    made, lines, *_ = panel
    monkeypatch.setattr(text, "PIECE", 5000)
    path = written(tmp_path, lines)
    one, three = (
        compute(made.path, [path], settings=Settings(threads=threads), frequencies_path=made.afreq).sums.sums
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one, three)
