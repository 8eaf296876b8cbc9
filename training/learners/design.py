"""The design matrix of the linear learners: restricted cubic splines, levels, missingness and screened codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from features.errors import PresageError
from features.frame import FeatureFrame
from training.disclosure import SMALLEST, coarse, last_rows, recoded

KNOT_QUANTILES = (0.05, 0.275, 0.5, 0.725, 0.95)
CLIP_QUANTILES = (0.01, 0.99)
FEW_LEVELS = 6
MAX_CODES = 100
EVENTS_PER_CURVE = 5

LINEAR, LEVELS, CURVED, MISSING, CODES = 0, 1, 2, 3, 4
GROUP_NAMES = ("linear", "levels", "curved", "missing", "codes")


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
        """(P,) the penalty group of each column."""
        sizes = (
            len(self.numeric), len(self.level_feature), self.knots_per_curve * len(self.curved),
            len(self.missing), len(self.code_names),
        )  # fmt: skip
        return np.repeat(np.arange(5), sizes)

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
            raise PresageError(
                "features", f"the feature '{lacking[0]}' the model was fitted on ({len(lacking)} are absent)"
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
        curve = _curve(clipped[:, self.curved], self.knots)
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
            raise PresageError("features", f"the code columns the model was fitted on ({len(lacking)} are absent)")
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


def learn_design(frame: FeatureFrame, *, relevance: Floats | None = None) -> Design:
    """Learn the design on these rows.

    relevance: (n,) residuals of the null model, positive for events; they screen the codes, and with fewer than
    5 events per numeric feature there are no curves.
    """
    frame = coarse(frame)
    values = frame.values.astype(np.float64)
    one_each = last_rows(frame.subject_ids)
    kinds = [_kind(frame, values, one_each=one_each, j=j) for j in range(len(frame.names))]
    numeric = np.array([j for j, kind in enumerate(kinds) if kind.numeric], dtype=np.int64)
    level_pairs = [(j, v) for j, kind in enumerate(kinds) for v in kind.levels]
    level_feature = np.array([j for j, _ in level_pairs], dtype=np.int64)
    level_value = np.array([v for _, v in level_pairs], dtype=np.float64)
    absent = np.isnan(values).sum(axis=0)
    people_without = np.isnan(values[one_each]).sum(axis=0)
    missing = np.flatnonzero((people_without >= SMALLEST) & (len(one_each) - people_without >= SMALLEST))
    low, high, centre, scale = _scaling(values[:, numeric])
    continuous = np.array([kinds[j].continuous for j in numeric], dtype=bool)
    if relevance is not None and int((relevance > 0).sum()) < EVENTS_PER_CURVE * len(continuous):
        continuous[:] = False  # so few events say nothing about curves
    curved, knots = _knots(values[:, numeric], continuous)
    clipped = np.clip(values[:, numeric], low, high)
    straight = (clipped - centre) / scale
    slope, mean, curve_scale = _curve_scaling(straight[:, curved], clipped[:, curved], knots=knots)
    code_names, code_mean, code_scale = _screen_codes(frame, relevance)
    return Design(
        names=frame.names,
        numeric=numeric,
        low=low,
        high=high,
        centre=centre,
        scale=scale,
        curved=curved,
        knots=knots,
        curve_slope=slope,
        curve_mean=mean,
        curve_scale=curve_scale,
        level_feature=level_feature,
        level_value=level_value,
        level_mean=_level_means(values, level_feature, value=level_value),
        missing=missing,
        missing_mean=absent[missing] / max(len(values), 1),
        code_names=code_names,
        code_mean=code_mean,
        code_scale=code_scale,
        levels=dict(frame.levels),
    )


@dataclass(frozen=True, slots=True)
class _Kind:
    numeric: bool
    continuous: bool
    levels: tuple[float, ...]


def _kind(frame: FeatureFrame, values: Floats, *, one_each: Ints, j: int) -> _Kind:
    seen = np.unique(values[~np.isnan(values[:, j]), j])
    if len(seen) < 2:
        return _Kind(False, False, ())
    category = frame.names[j] in frame.levels
    if not category and len(seen) > FEW_LEVELS:
        return _Kind(True, True, ())
    common = tuple(float(v) for v in seen if int((values[one_each, j] == v).sum()) >= SMALLEST)
    if category:
        return _Kind(False, False, common)
    return _Kind(False, False, common[-1:]) if len(seen) == 2 else _Kind(True, False, common)


def _scaling(columns: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    if columns.shape[1] == 0:
        empty = np.empty(0)
        return empty, empty, empty, empty
    low, high = np.nanquantile(columns, CLIP_QUANTILES, axis=0)
    narrow = low == high  # a rare deviation from one value: clipping would make it constant
    low = np.where(narrow, np.nanmin(columns, axis=0), low)  # which 11 people have, as the rows are coarse
    high = np.where(narrow, np.nanmax(columns, axis=0), high)
    clipped = np.clip(columns, low, high)
    return low, high, np.nanmean(clipped, axis=0), np.nanstd(clipped, axis=0)


def _knots(columns: Floats, continuous: npt.NDArray[np.bool_]) -> tuple[Ints, Floats]:
    width = len(KNOT_QUANTILES)
    if not continuous.any():
        return np.empty(0, dtype=np.int64), np.empty((0, width))
    at = np.nanquantile(columns, KNOT_QUANTILES, axis=0).T
    spread: npt.NDArray[np.bool_] = np.asarray((np.diff(at, axis=1) > 0).all(axis=1))
    for j in np.flatnonzero(continuous & ~spread):  # heaped values, such as a laboratory's zeros
        distinct = np.unique(columns[~np.isnan(columns[:, j]), j])
        if len(distinct) >= width:
            at[j] = np.quantile(distinct, KNOT_QUANTILES)
            spread[j] = bool((np.diff(at[j]) > 0).all())
    curved = np.flatnonzero(continuous & spread)
    return curved, at[curved]


def _curve(clipped: Floats, knots: Floats) -> Floats:
    """(n, c, 3) Harrell's restricted cubic basis, scaled by the squared distance of the outer knots."""
    last, before = knots[:, -1], knots[:, -2]
    span = (last - knots[:, 0]) ** 2
    beyond = np.maximum(clipped[:, :, None] - knots, 0.0)
    cubed = beyond * beyond * beyond
    inner = knots[:, :-2]
    left = cubed[:, :, -2, None] * (last[:, None] - inner) / (last - before)[:, None]
    right = cubed[:, :, -1, None] * (before[:, None] - inner) / (last - before)[:, None]
    return np.asarray((cubed[:, :, :-2] - left + right) / span[:, None], dtype=np.float64)


def _curve_scaling(straight: Floats, clipped: Floats, *, knots: Floats) -> tuple[Floats, Floats, Floats]:
    if len(knots) == 0:
        empty = np.empty((0, len(KNOT_QUANTILES) - 2))
        return empty, empty, np.empty((0, 1))
    curve = _curve(clipped, knots)
    mean = np.nanmean(curve, axis=0)
    slope = np.nanmean(curve * straight[:, :, None], axis=0) / np.nanmean(straight**2, axis=0)[:, None]
    rest = curve - mean - slope * straight[:, :, None]
    scale = np.sqrt(np.nanmean(rest**2, axis=0)).max(axis=1, keepdims=True)
    return slope, mean, np.where(scale > 0, scale, 1.0)


def _level_means(values: Floats, feature: Ints, *, value: Floats) -> Floats:
    columns = values[:, feature]
    known = (~np.isnan(columns)).sum(axis=0)
    return np.asarray((columns == value).sum(axis=0) / np.maximum(known, 1), dtype=np.float64)


def _screen_codes(frame: FeatureFrame, relevance: Floats | None) -> tuple[tuple[str, ...], Floats, Floats]:
    if frame.codes is None or relevance is None or frame.codes.shape[1] == 0:
        return (), np.empty(0), np.empty(0)
    counts = frame.codes.astype(np.float64).tocsr()
    counts.data = np.log1p(counts.data)
    mean = np.asarray(counts.mean(axis=0)).ravel()
    scale = np.sqrt(np.maximum(np.asarray(counts.multiply(counts).mean(axis=0)).ravel() - mean**2, 0.0))
    carriers = np.bincount(counts[last_rows(frame.subject_ids)].indices, minlength=counts.shape[1])
    usable = (scale > 0) & (carriers >= SMALLEST)
    score = np.abs(counts.T @ relevance - mean * relevance.sum()) / np.where(usable, scale, 1.0)
    best = np.flatnonzero(usable)[np.argsort(-score[usable], kind="stable")[:MAX_CODES]]
    best = np.sort(best)
    return tuple(frame.code_names[j] for j in best), mean[best], scale[best]
