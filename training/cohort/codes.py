"""Which of a frame's code columns a model may learn from: those of codes that enough rows and people have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.frame import FeatureFrame
from training.disclosure import SMALLEST, last_rows


def common_codes(frame: FeatureFrame, prevalence: float | None) -> tuple[str, ...]:
    """Codes (without their windows) that at least this share of the rows, and the last rows of 11 people, ever had."""
    if frame.codes is None or prevalence is None:
        return ()
    ever = [j for j, name in enumerate(frame.code_names) if name.endswith("@ever")]
    rows_with, people_with = (
        np.bincount(codes.indices, minlength=len(frame.code_names))
        for codes in (frame.codes, frame.codes[last_rows(frame.subject_ids)])
    )
    least = prevalence * len(frame)
    return tuple(
        frame.code_names[j].removesuffix("@ever") for j in ever if rows_with[j] >= least and people_with[j] >= SMALLEST
    )


def with_codes(frame: FeatureFrame, codes: tuple[str, ...]) -> FeatureFrame:
    """The same rows with the columns of these codes only."""
    if frame.codes is None:
        return frame
    wanted = set(codes)
    columns = [j for j, name in enumerate(frame.code_names) if name.rsplit("@", 1)[0] in wanted]
    kept = frame.codes[:, columns] if columns else None
    return replace(frame, codes=kept, code_names=tuple(frame.code_names[j] for j in columns))
