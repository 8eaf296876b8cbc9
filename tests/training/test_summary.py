import numpy as np
import pytest

from features.errors import PresageError
from training.cohort.blocks import allowed_names, named_blocks
from training.evaluation import Estimate, GroupResult
from training.evaluation.shown import shown_groups
from training.heldout.sentence import block_sentence
from training.study import FeaturesSection


def test_a_small_group_is_hidden_and_so_is_the_next_that_would_give_it_away() -> None:
    levels = {"a": GroupResult(500, 40, {}), "b": GroupResult(7, 1, {}), "c": GroupResult(90, 12, {})}
    found = shown_groups(levels)
    assert found["a"].people == 500
    assert found["b"].people is None
    assert found["c"].people is None


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.03, "adds discrimination"),
        (-0.01, 0.03, "adds nothing here"),
        (-0.03, -0.01, "does harm"),
        (np.nan, np.nan, "cannot be judged"),
    ],
)
def test_only_an_interval_above_zero_is_a_gain(low: float, high: float, said: str) -> None:
    sentence = block_sentence("genomic", ["clinical"], people=900, delta={"auc": Estimate(0.01, low, high)})
    assert said in sentence


def test_features_of_no_block_are_left_out_or_join_the_one_that_rest_names_and_globs_are_expanded() -> None:
    keys = {"exclude": ["late"], "blocks": {"genomic": ["FLT3_*"], "clinical": ["age"]}}
    section = FeaturesSection.model_validate(keys | {"rest": "clinical"})
    usable = allowed_names(section, ["age", "sex", "FLT3_ITD", "FLT3_TKD", "late"], where="study")
    (genomic, clinical), left_out = named_blocks(section, usable, where="study")
    assert (genomic.features, genomic.genomic) == (("FLT3_ITD", "FLT3_TKD"), True)
    assert (clinical.features, clinical.genomic) == (("age", "sex"), False)
    assert left_out == ()
    (_, alone), left_out = named_blocks(FeaturesSection.model_validate(keys), usable, where="study")
    assert (alone.features, left_out) == (("age",), ("sex",))


def test_a_name_that_no_column_has_is_an_error() -> None:
    with pytest.raises(PresageError, match="NPM1"):
        named_blocks(FeaturesSection(blocks={"genomic": ("NPM1",)}), ["age"], where="study")
