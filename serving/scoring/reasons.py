"""Why a risk is what it is, in words: the model's own contributions, grouped by what was measured."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from features.catalogue import FeatureSpec
from features.errors import PresageError
from features.frame import FeatureFrame
from features.record import Record
from serving.scoring.champions import Champion
from serving.store import Reason, Receipt

RAISING, LOWERING = 4, 1  # reasons shown of each kind; what raises the risk is why somebody is flagged
SMALLEST = 0.05  # on the log-hazard (log-odds) scale: a twentieth is nobody's reason
UNITS = {"mm[Hg]": "mmHg", "mL/min/{1.73_m2}": "mL/min/1.73 m²", "kg/m2": "kg/m²", "a": "years", "d": "days", "1": ""}
# What 0 means where "No ..." would be no English.
OTHERWISE = {
    "sex_female": "Male sex",
    "smoking_current": "Does not smoke now",
    "smoking_ever": "Has never smoked",
    "carrier_familial_hypercholesterolaemia": "Tested and no carrier for familial hypercholesterolaemia",
    "carrier_hereditary_breast_ovarian_cancer": "Tested and no carrier for hereditary breast and ovarian cancer",
    "carrier_lynch_syndrome": "Tested and no carrier for Lynch syndrome",
}
# What a reader should see of several features of one thing, best first.
_TELLING = ("latest", "current", "any", "polygenic_z", "carrier", "years_since_first", "count", "mean", "max", "min")
_UNTELLING = frozenset({"polygenic_matched_weight", "polygenic_tested", "tested"})


def reasons_of(champion: Champion, listed: Sequence[Receipt], *, record: Record) -> dict[int, tuple[Reason, ...]]:
    """The reasons of people who are being flagged, by subject.

    Their features are computed again and must have the hash on the receipt. Raises PresageError where the record has
    changed since.
    """
    from serving.scoring.score import feature_hashes, frame_of

    subject_ids = np.array([receipt.subject_id for receipt in listed], dtype=np.int64)
    as_of = np.array([receipt.as_of for receipt in listed], dtype="datetime64[us]")
    frame = frame_of(champion, record, subject_ids=subject_ids, as_of=as_of)
    if feature_hashes(frame) != [receipt.feature_hash for receipt in listed]:
        raise PresageError(
            "SCORES",
            "the features that these people had when they were scored",
            found="others, as the record has changed since",
            way_out="score again, then flag",
        )
    combined = np.array([receipt.model == "combined" for receipt in listed])
    return dict(zip(subject_ids.tolist(), reasons_of_frame(champion, frame, combined=combined), strict=True))


def reasons_of_frame(
    champion: Champion, frame: FeatureFrame, *, combined: npt.NDArray[np.bool_]
) -> list[tuple[Reason, ...]]:
    """The reasons of each row of a frame; `combined` (n,) says for whom the combined model was used."""
    specs = {spec.name: spec for spec in champion.catalogue.specs}
    names, values = contributions(champion, frame, combined=combined)
    return [_of_person(specs, names, values=values[row], frame=frame, row=row) for row in range(len(frame))]


def contributions(
    champion: Champion, frame: FeatureFrame, *, combined: npt.NDArray[np.bool_]
) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
    """Names (p,) of features, and their contributions (n, p) to each person's log hazard (or log odds).

    A contribution adds what the clinical model gives a feature and, where the combined model was used, what genomics
    adds.
    """
    from training.models.terms import terms

    parts = terms(champion.bundle.pair, frame, combined=combined, horizons=champion.bundle.horizons_days)
    return parts.names, np.nan_to_num(parts.values)


def _of_person(
    specs: Mapping[str, FeatureSpec],
    names: Sequence[str],
    *,
    values: npt.NDArray[np.float64],
    frame: FeatureFrame,
    row: int,
) -> tuple[Reason, ...]:
    """The strongest groups that raise the risk, then the one that lowers it most."""
    weights: dict[tuple[str, ...], float] = defaultdict(float)
    members: dict[tuple[str, ...], list[FeatureSpec]] = defaultdict(list)
    for name, value in zip(names, values, strict=True):
        spec = specs.get(name)
        if spec is None or spec.aggregate in _UNTELLING:
            continue
        key = (spec.family, *spec.codes) if spec.codes else (spec.name,)
        weights[key] += float(value)
        members[key].append(spec)
    ordered = sorted(weights, key=lambda key: (-weights[key], key))
    raising = [key for key in ordered if weights[key] >= SMALLEST][:RAISING]
    lowering = [key for key in reversed(ordered) if weights[key] <= -SMALLEST][:LOWERING]
    told = [(_most_telling(members[key], frame, row=row), round(weights[key], 3)) for key in (*raising, *lowering)]
    return tuple(Reason(worded(spec, frame, row=row), weight, spec.modifiable) for spec, weight in told)


def _most_telling(members: Sequence[FeatureSpec], frame: FeatureFrame, *, row: int) -> FeatureSpec:
    def rank(spec: FeatureSpec) -> tuple[bool, int, str]:
        order = _TELLING.index(spec.aggregate) if spec.aggregate in _TELLING else len(_TELLING)
        return bool(np.isnan(frame.column(spec.name)[row])), order, spec.name

    return min(members, key=rank)


def worded(spec: FeatureSpec, frame: FeatureFrame, *, row: int) -> str:
    """One feature of one person in words, with its unit.

    For a missing one, the words of its declaration for a missing value.
    """
    value = float(frame.column(spec.name)[row])
    label = spec.label.removesuffix(", latest")
    label = label if label[1:2].isupper() else label[:1].upper() + label[1:]  # eGFR keeps its small e
    if np.isnan(value):
        return f"{label}: {spec.missing}"
    if spec.categories:
        return f"{label}: {spec.categories[int(value)]}"
    if spec.aggregate == "polygenic_z":
        return f"Polygenic score {spec.codes[0]} {_standing(value)}"
    if spec.aggregate in ("any", "current", "carrier") or _is_yes_or_no(spec):
        no = OTHERWISE.get(spec.name, f"No {spec.label}")
        return label if value == 1 else no
    unit = UNITS.get(spec.unit, spec.unit)
    number = f"{value:.0f}" if abs(value) >= 20 or value == round(value) else f"{value:.1f}"
    if spec.name == "age_years":
        return f"Age {int(value)} years"
    latest = spec.family == "measurements" and spec.aggregate == "latest"
    joined = f"{label} {number}" if latest else f"{label}: {number}"
    with_unit = f"{joined}{'' if unit == '%' else ' '}{unit}".strip() if unit else joined
    is_computed = spec.name in frame.derived and bool(frame.derived[spec.name][row])
    computed = f" (computed: {spec.otherwise})" if is_computed else ""
    return f"{with_unit}{computed}{_when(spec, frame, row=row)}" if latest else f"{with_unit}{computed}"


def _when(spec: FeatureSpec, frame: FeatureFrame, *, row: int) -> str:
    """How long ago a latest result was, where the frame knows it."""
    since = f"{spec.name.split('_latest_')[0]}_days_since"
    if since not in frame.names or np.isnan(frame.column(since)[row]):
        return ""
    return f", latest {_ago(float(frame.column(since)[row]))}"


def _ago(days: float) -> str:
    for unit, length in (("year", 365.25), ("month", 30.4375), ("day", 1.0)):
        many = int(days // length) if unit == "day" else round(days / length)
        if many >= 2 or (unit == "day" and many == 1):
            return f"{many} {unit}{'' if many == 1 else 's'} ago"
    return "today"


def _standing(z: float) -> str:
    """A standard normal score as a standing among a hundred people of like ancestry."""
    beyond = max(1, math.ceil(50 * math.erfc(abs(z) / math.sqrt(2))))
    if beyond >= 40:
        return "about average for like ancestry"
    return f"among the {'highest' if z > 0 else 'lowest'} {beyond} of 100 people of like ancestry"


def _is_yes_or_no(spec: FeatureSpec) -> bool:
    numbers = {number for _, number in (*spec.values, *spec.levels)}
    return spec.unit == "1" and (numbers == {0.0, 1.0} or spec.name.startswith("family_history"))
