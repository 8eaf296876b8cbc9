"""The category of every variant is the one that pgscatalog-match gives.

`match_categories.csv` was written by pgscatalog.match 0.4.0 (Apache-2.0) on `genomics/match_cases`: one row for each
best candidate; a row of a scoring file that is not in it is unmatched.
Settings: its defaults, and keep_first_match, keep_ambiguous, keep_multiallelic, ignore_strand_flips together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.polygenic.columns.variants import Alleles
from features.polygenic.genotypes.tables import read_pvar
from features.polygenic.matching.rules import MATCH_TYPES, MatchRules, TargetIndex, match
from features.polygenic.scores.catalog import read_scores

pytestmark = pytest.mark.realdata

PUBLISHED = pd.read_csv(Path(__file__).with_name("match_categories.csv"), dtype=str)
RULES = {
    "default": MatchRules(),
    "keep_all": MatchRules(
        keep_ambiguous=True, keep_multiallelic=True, keep_first_match=True, ignore_strand_flips=True
    ),
}
CASES = [
    (score, target)
    for score in ("good_match_scorefile.txt", "duplicated_scorefile.txt", "bad_match_scorefile.txt.gz")
    for target in ("good_match.pvar", "multiallelic.pvar", "1000G.pvar")
]


def categories(score_file: Path, target: Path, rules: MatchRules) -> pd.DataFrame:
    alleles = Alleles()
    variants = read_pvar(target, alleles).variants
    index = TargetIndex.of(variants, alleles)
    accession = pd.read_csv(score_file, sep="\t", dtype=str)["accession"].to_numpy()
    row_nr = pd.read_csv(score_file, sep="\t", dtype=str)["row_nr"].to_numpy()
    found = []
    for score in read_scores(score_file, alleles, build=None):
        matches = match(score.rows, index, alleles=alleles, rules=rules)
        rows = score.rows.line - 2
        hit = matches.variant >= 0
        found.append(
            pd.DataFrame(
                {
                    "accession": accession[rows[hit]],
                    "row_nr": row_nr[rows[hit]],
                    "match_type": np.array(MATCH_TYPES)[matches.kind[hit]],
                    "match_status": matches.status[hit],
                    "id": variants.ids.take(matches.variant[hit]).to_pylist(),
                }
            )
        )
    return pd.concat(found).sort_values(["accession", "row_nr"]).reset_index(drop=True).astype(str)


@pytest.mark.parametrize("settings", RULES)
@pytest.mark.parametrize(("score_file", "target"), CASES)
def test_every_variant_has_the_published_category(real_data, score_file, target, settings):
    folder = real_data / "genomics" / "match_cases"
    published = PUBLISHED.query("score_file == @score_file and target == @target and settings == @settings")
    if score_file.startswith(("good", "dup")) and target == "1000G.pvar":
        assert published.empty
    expected = published[["accession", "row_nr", "match_type", "match_status", "id"]]
    expected = expected.sort_values(["accession", "row_nr"]).reset_index(drop=True)
    ours = categories(folder / score_file, folder / target, RULES[settings])
    pd.testing.assert_frame_equal(ours, expected, check_dtype=False)
