"""The design matrix of a linear model: restricted cubic splines, levels, missingness and screened codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.arrays import Floats, Ints
from features.frame import FeatureFrame
from training.disclosure import recoded

KNOT_QUANTILES = (0.05, 0.275, 0.5, 0.725, 0.95)
GROUP_NAMES = ("linear", "levels", "curved", "missing", "codes")
LINEAR, LEVELS, CURVED, MISSING, CODES = range(len(GROUP_NAMES))


@dataclass(frozen=True, slots=True)
class Design:
    """Columns learned on the training rows; every column is centred, so that an absent fact adds nothing.

    Limits, knots and levels are those of `training.disclosure.values.coarse` rows, and no column is of fewer than 11
    people.
    A continuous feature gives a straight and, with enough distinct values, a curved part (Harrell's restricted cubic
    splines with 5 knots), both clipped at the 1st and 99th percentile. A numeric feature with 3 to 6 distinct values
    gives a straight part and one column per value; two values or a declared category, levels only. Absence gets its
    own column. Codes: log(1 + count) of at most 100 columns, screened by a score test on the training rows.
    """

    names: tuple[str, ...]
    numeric: Ints  # features with a straight part
    low: Floats
    high: Floats
    centre: Floats
    scale: Floats
    curved: Ints  # positions within `numeric` with a curved part
    knots: Floats  # (c, 5)
    curve_slope: Floats  # (c, 3) regression of the curve's columns on the straight part
    curve_mean: Floats
    curve_scale: Floats
    level_feature: Ints
    level_value: Floats
    level_mean: Floats
    missing: Ints
    missing_mean: Floats
    code_names: tuple[str, ...]
    code_mean: Floats
    code_scale: Floats
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of each category, as numbered here

    @property
    def groups(self) -> Ints:
        """(P,) the penalty group of each column; levels of a number that has a straight part are how it bends."""
        bends = np.isin(self.level_feature, self.numeric)
        curves, others = self.knots_per_curve * len(self.curved), (len(self.missing), len(self.code_names))
        return np.concatenate(
            [
                np.full(len(self.numeric), LINEAR),
                np.where(bends, CURVED, LEVELS),
                np.full(curves, CURVED),
                np.repeat((MISSING, CODES), others),
            ]
        ).astype(np.int64)

    @property
    def knots_per_curve(self) -> int:
        """Columns of one curved part."""
        return len(KNOT_QUANTILES) - 2

    @property
    def owners(self) -> Ints:
        """(P,) the feature behind each column; codes count on from the number of dense features."""
        return np.concatenate(
            [
                self.numeric,
                self.level_feature,
                np.repeat(self.numeric[self.curved], self.knots_per_curve),
                self.missing,
                len(self.names) + np.arange(len(self.code_names)),
            ]
        ).astype(np.int64)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Dense features, then the codes that were kept."""
        return self.names + self.code_names

    def matrix(self, frame: FeatureFrame) -> Floats:
        """(n, P) the design of these rows; values never seen in training are clipped or count as the average."""
        values = self._aligned(frame)
        straight, clipped = self._straight(values)
        levels = (values[:, self.level_feature] == self.level_value) - self.level_mean
        levels[np.isnan(values[:, self.level_feature])] = 0.0
        absent = np.isnan(values[:, self.missing]) - self.missing_mean
        parts = [straight, levels, self._curves(straight, clipped), absent, self._codes(frame)]
        return np.concatenate(parts, axis=1)

    def _aligned(self, frame: FeatureFrame) -> Floats:
        known = set(frame.names)
        lacking = [name for name in self.names if name not in known]
        if lacking:
            raise ValueError(
                f"the frame lacks '{lacking[0]}', on which the model was fitted ({len(lacking)} are absent)"
            )
        return recoded(frame, self.names, levels=self.levels).astype(np.float64)

    def _straight(self, values: Floats) -> tuple[Floats, Floats]:
        clipped = np.clip(values[:, self.numeric], self.low, self.high)
        straight = (clipped - self.centre) / self.scale
        straight[np.isnan(straight)] = 0.0
        return straight, clipped

    def _curves(self, straight: Floats, clipped: Floats) -> Floats:
        n, c = len(straight), len(self.curved)
        if c == 0:
            return np.empty((n, 0))
        curve = curve_basis(clipped[:, self.curved], self.knots)
        curve -= self.curve_mean + self.curve_slope * straight[:, self.curved, None]
        curve /= self.curve_scale
        curve[np.isnan(curve)] = 0.0
        return curve.reshape(n, c * self.knots_per_curve)

    def _codes(self, frame: FeatureFrame) -> Floats:
        if not self.code_names:
            return np.empty((len(frame), 0))
        where = {name: i for i, name in enumerate(frame.code_names)}
        lacking = [name for name in self.code_names if name not in where]
        if frame.codes is None or lacking:
            raise ValueError(f"the frame lacks code columns on which the model was fitted ({len(lacking)} are absent)")
        counts = frame.codes[:, [where[name] for name in self.code_names]].toarray().astype(np.float64)
        return (np.log1p(counts) - self.code_mean) / self.code_scale

    def to_json(self) -> dict[str, Any]:
        """Everything, as numbers and strings."""
        arrays = {
            name: value.tolist() if isinstance(value, np.ndarray) else list(value)
            for name in self.__slots__
            for value in [getattr(self, name)]
            if name != "levels"
        }
        return arrays | {"levels": {name: list(levels) for name, levels in self.levels.items()}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Design:
        """What `to_json` gave."""
        whole = {"numeric", "curved", "level_feature", "missing"}
        width = len(KNOT_QUANTILES)
        shapes = {"knots": (-1, width), "curve_slope": (-1, width - 2), "curve_mean": (-1, width - 2)}
        parts: dict[str, Any] = {}
        for name, value in stored.items():
            if name in ("names", "code_names"):
                parts[name] = tuple(value)
            elif name == "levels":
                parts[name] = {feature: tuple(levels) for feature, levels in value.items()}
            elif name in whole:
                parts[name] = np.array(value, dtype=np.int64)
            else:
                parts[name] = np.array(value, dtype=np.float64).reshape(shapes.get(name, (-1,)))
        parts["curve_scale"] = parts["curve_scale"].reshape(-1, 1)
        return cls(**parts)


def curve_basis(clipped: Floats, knots: Floats) -> Floats:
    """(n, c, 3) Harrell's restricted cubic basis, scaled by the squared distance of the outer knots."""
    last, before = knots[:, -1], knots[:, -2]
    span = (last - knots[:, 0]) ** 2
    beyond = np.maximum(clipped[:, :, None] - knots, 0.0)
    cubed = beyond * beyond * beyond
    inner = knots[:, :-2]
    left = cubed[:, :, -2, None] * (last[:, None] - inner) / (last - before)[:, None]
    right = cubed[:, :, -1, None] * (before[:, None] - inner) / (last - before)[:, None]
    return np.asarray((cubed[:, :, :-2] - left + right) / span[:, None], dtype=np.float64)
