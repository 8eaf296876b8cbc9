import numpy as np

from features.frame import FeatureFrame
from training.models.pair import stage_frame


def test_an_untested_person_is_staged_as_one_without_a_known_variant() -> None:
    """carrier   tested?              staged
    nan       not tested           0
    0         tested, negative     0
    1         carrier              1
    A polygenic score that is absent stays absent: it is not the mean of anybody."""
    names = ("prs_S_z", "carrier_fh")
    values = np.array([[0.5, np.nan], [0.5, 0.0], [0.5, 1.0], [np.nan, 0.0]], dtype=np.float32)
    ids, as_of = np.arange(4), np.full(4, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(ids, as_of, names, values)
    staged = stage_frame(frame, names, clinical_risk=np.full(4, 0.1), dosage_score=None)
    assert staged.column("carrier_fh").tolist() == [0, 0, 1, 0]
    assert np.array_equal(staged.values[0], staged.values[1])
    assert np.isnan(staged.column("prs_S_z")[3])
    assert np.isnan(frame.column("carrier_fh")[0]), "the frame keeps the two apart"
