"""Palindromes: left out, and brought back by frequency only where asked for and only where it tells the strand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.polygenic.matching.rules import MatchRules
from features.polygenic.prs import prs
from features.polygenic.run import Settings

# As the file names the effect allele A of REF A, ALT T. ALT's frequency in the reference; the effect's in the file.
CASES = {
    # drawn: (ALT in the reference, effect in the file): what is decided
    "same strand": (0.8, 0.25, "as given"),
    "other strand": (0.8, 0.75, "other strand"),
    "near one half": (0.55, 0.45, "frequency near one half"),
    "another population": (0.9, 0.35, "frequencies differ"),
    "not told": (0.8, None, "frequency unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_palindrome_comes_back_where_frequencies_tell_its_strand(case, write_panel, tmp_path):
    alternate, told, decided = CASES[case]
    variants = pd.DataFrame({"chrom": "1", "pos": [100, 200], "id": ["a", "b"], "ref": ["A", "G"], "alt": ["T", "A"]})
    counts = np.array([[0, 1, 2], [0, 0, 1]], np.int8)
    panel = write_panel(tmp_path, variants, counts, np.array([alternate, 0.5]))
    score = tmp_path / "score.txt"
    head = "chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\tallelefrequency_effect\n"
    score.write_text(head + f"1\t100\tA\tT\t1\t{'' if told is None else told}\n1\t200\tA\tG\t10\t0.5\n")
    rescued = {"as given": [2, 1, 10], "other strand": [0, 1, 12]}  # A is REF; on the other strand it is the file's T
    for asked in (False, True):
        settings = Settings(min_overlap=0, rescue_palindromes=asked, rules=MatchRules())
        prs(panel.path, [score], out=tmp_path / "out.csv", settings=settings, reference_frequencies=panel.afreq)
        expected = rescued.get(decided, [0, 0, 10]) if asked else [0, 0, 10]
        np.testing.assert_allclose(pd.read_csv(tmp_path / "out.csv")["sum"], expected, atol=1e-12)
        audit = pd.read_parquet(tmp_path / "out.variants.parquet").iloc[0]
        if asked:
            assert audit["rescue"] == decided
            assert audit["reference_frequency"] == pytest.approx(1 - alternate)
            assert pd.isna(audit["effect_frequency"]) if told is None else audit["effect_frequency"] == told
        else:
            assert pd.isna(audit["rescue"])
