"""Scores with the same rows are matched and reported once; each keeps its own weights and its own numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.polygenic.columns.variants import Alleles
from features.polygenic.prs import prs
from features.polygenic.run import Settings
from features.polygenic.scores.catalog import _read_rows
from features.polygenic.scores.last_read import LastText
from features.polygenic.startup import lean

HEAD = "chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\n"


@pytest.fixture
def panel(write_panel, tmp_path):
    variants = pd.DataFrame({"chrom": "1", "pos": [100, 200], "id": ["a", "b"], "ref": ["A", "G"], "alt": ["C", "T"]})
    counts = np.array([[0, 1, 2, 1], [2, 2, 0, -9]], np.int8)
    return write_panel(tmp_path / "genotypes", variants, counts, np.array([0.5, 0.25]))


def write(folder, name, rows):
    (folder / f"{name}.txt").write_text(f"#pgs_id={name}\n{HEAD}{rows}")
    return folder / f"{name}.txt"


def test_each_score_keeps_its_weights_and_the_report_says_where_its_rows_are(panel, tmp_path):
    files = [
        write(tmp_path, "A", "1\t100\tC\tA\t1\n1\t200\tT\tG\t10\n"),
        write(tmp_path, "B", "1\t100\tC\tA\t2\n1\t200\tT\tG\t0.5\n"),
        write(tmp_path, "C", "1\t100\tC\tA\t2\n1\t200\tG\tT\t0.5\n"),
        write(tmp_path, "D", "1\t100\tC\tA\t3\n1\t200\tG\tT\t1\n"),
        write(tmp_path, "E", "1\t100\tC\tA\t1\n1\t200\tT\tG\t10\n"),
    ]
    prs(panel.path, files, out=tmp_path / "out.parquet", settings=Settings(), reference_frequencies=panel.afreq)
    sums = pd.read_parquet(tmp_path / "out.parquet").pivot(index="sample_id", columns="score_id", values="sum")
    assert sums.loc["S1"].to_dict() == {"A": 21.0, "B": 3.0, "C": 2.0, "D": 3.0, "E": 21.0}
    told = json.loads((tmp_path / "out.report.json").read_text())["scores"]
    under = {score["score_id"]: score["rows_under"] for score in told}
    assert under == {"A": "A", "B": "A", "C": "C", "D": "C", "E": "E"}
    rows = pq.read_table(tmp_path / "out.variants.parquet").to_pandas()
    assert rows["score_id"].astype(str).tolist() == ["A", "A", "C", "C", "E", "E"]
    assert rows["match_type"].astype(str).tolist() == ["altref", "altref", "altref", "refalt", "altref", "altref"]


NAMES = ["rsID", "effect_allele", "other_allele", "effect_weight"]


def told(last, names, content):
    table = _read_rows(Path("score.txt"), names, body=memoryview(content), first_line=1)
    last.keep(names, content, start=0, table=table)
    return table


def test_a_cell_in_quotes_may_hold_what_else_ends_cells():
    last, content = LastText(), b'"r\ta\tb\t3\tc"\tA\tC\t0.5\n'
    assert told(last, NAMES, content)["effect_weight"].to_pylist() == [0.5]
    assert last.same(NAMES, content.replace(b"3", b"4"), start=0) is None


def test_a_file_that_another_thread_keeps_meanwhile_changes_nothing():
    last, content = LastText(), b"r\tA\tC\t0.5\n"

    class Names(list[str]):
        def __ne__(self, other):
            told(last, [NAMES[0], NAMES[2], NAMES[1], NAMES[3]], content)
            return list(self) != other

    told(last, NAMES, content)
    assert last.same(Names(NAMES), content, start=0)["effect_allele"].to_pylist() == ["A"]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_report_does_not_depend_on_threads(panel, tmp_path, threads):
    files = [write(tmp_path, f"s{k}", f"1\t100\tC\tA\t{k + 1}\n1\t200\tT\tG\t1\n") for k in range(12)]
    settings = Settings(threads=threads)
    prs(panel.path, files, out=tmp_path / "out.parquet", settings=settings, reference_frequencies=panel.afreq)
    rows = pq.read_table(tmp_path / "out.variants.parquet").to_pandas()
    assert rows["score_id"].astype(str).tolist() == ["s0", "s0"]


def test_alleles_get_one_code_each_whichever_thread_is_first():
    alleles, start = Alleles(), Barrier(4)
    names = ["A" * (k + 1) for k in range(400)]

    def encode() -> None:
        start.wait()
        for name in names:
            alleles.code(name)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [Thread(target=encode) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert sorted(alleles.names) == sorted(names)
    assert all(alleles.names[alleles.codes[name]] == name for name in names)


def test_a_lean_command_hides_pandas_only_while_it_runs():
    finders = list(sys.meta_path)
    with lean():
        assert len(sys.meta_path) == len(finders) + 1
        assert sys.meta_path[0].find_spec("numpy", None) is None
        with pytest.raises(ModuleNotFoundError, match="pandas"):
            sys.meta_path[0].find_spec("pandas", None)
    assert sys.meta_path == finders
