"""Learns the design of the linear learners: limits, knots, levels, and the codes that pass a score test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from features.frame import FeatureFrame
from training.disclosure import SMALLEST, coarse, last_rows
from training.fitted import KNOT_QUANTILES, Design, curve_basis

CLIP_QUANTILES = (0.01, 0.99)
FEW_LEVELS = 6
MAX_CODES = 100
EVENTS_PER_CURVE = 5


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


def _curve_scaling(straight: Floats, clipped: Floats, *, knots: Floats) -> tuple[Floats, Floats, Floats]:
    if len(knots) == 0:
        empty = np.empty((0, len(KNOT_QUANTILES) - 2))
        return empty, empty, np.empty((0, 1))
    curve = curve_basis(clipped, knots)
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
