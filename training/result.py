"""The result of a training: one frozen tree, which is made once, written once, and read by attributes everywhere else.

It is what `presage train --json` writes, what a bundle keeps as `evaluation.json` and what MLflow keeps as
`summary.json` (contract 5). Keys may be added to it, never renamed. A validation has a tree of its own in
`training/external.py`, made of the same parts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from features.errors import PresageError
from features.writing import write_text

IMPLAUSIBLE_AUC = 0.95  # of one feature alone, in either direction; of a model, rarely true


class Part(BaseModel):
    """A part of a result.

    A field that was never set has no key in the JSON: so what is asked only of some studies is absent from the others,
    and a key that a bundle of an earlier day lacks reads as None, or as nothing in it.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
    ABSENT_IF_NONE: ClassVar[frozenset[str]] = frozenset()  # fields without a key where they are None

    def model_post_init(self, context: Any) -> None:
        """Forget that a field was set, where None stands for its absence."""
        for name in self.ABSENT_IF_NONE:
            if getattr(self, name) is None:
                self.model_fields_set.discard(name)

    def to_json(self) -> dict[str, Any]:
        """Keys and values as JSON has them.

        >>> Metric(value=0.7, low=0.6, high=None).to_json()
        {'value': 0.7, 'low': 0.6, 'high': None}
        """
        return self.model_dump(mode="json", exclude_unset=True)

    def to_text(self) -> str:
        """The JSON as it stands in a file."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"


class Metric(Part):
    """A number with its 95 % interval over people resampled; None where it is not defined.

    Distances of risks (ici, e50, e90) have no interval: they cannot be negative, and are judged by `if_perfect`.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    if_perfect: float | None = None
    """Of the ICI alone: what it would be on average if every risk were exactly right."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """The lower and the upper end, where both are known."""
        return None if self.low is None or self.high is None else (self.low, self.high)


Metrics = Mapping[str, Metric]  # by name: auc, c_harrell, sensitivity_at_0.075 (a cut-off), ppv_top_0.05 (a capacity)


def known(metrics: Metrics, name: str) -> Metric | None:
    """The metric of this name, where it was measured and is defined.

    >>> known({"auc": Metric(value=None)}, "auc") is None
    True
    """
    found = metrics.get(name)
    return None if found is None or found.value is None else found


class Step(Part):
    """One line of the attrition: who is left. Counts of 1 to 10 people are None."""

    step: str
    people: int | None
    rows: int | None


class Validation(Part):
    """How people were split, and at which risks and shares of people flagging was measured."""

    scheme: str
    splits: int
    train_people: int
    test_people: int
    test_rows: int
    bootstraps: int
    cutoffs: tuple[float, ...] = ()
    """Risks between 0 and 1 at which one would act."""
    capacities: tuple[float, ...] = ()
    """Shares of people that a team can take on."""
    estimates: str | None = None
    """Whose performance is estimated: that of the models that were tested, and what they learned from."""
    refits: int | None = None
    """How often the chosen candidate was fitted anew, for intervals of importance."""


class Chosen(Part):
    """The candidate that is served, at the last horizon."""

    candidate: str
    horizon_days: float | None
    """None for a binary outcome."""
    curves_follow: str | None = None
    """What its risks follow between the horizons; None for a binary outcome."""
    ibs_days: tuple[float, float] | None = None
    """The days since the index over which the Brier score is averaged (`ibs`); None for a binary outcome."""
    metrics: Metrics


class Fold(Part):
    """One fold's test people, and each candidate's numbers there without intervals: few people each, one model."""

    people: int | None
    """None, as every count, where it would tell of 1 to 10 people."""
    events: int | None
    """Of them with the event by the horizon."""
    models: Mapping[str, Metrics]
    """By candidate; none where fewer than 11 people were tested."""


class Incidence(Part):
    """The event's cumulative incidence among the rows learned from: (k,) days, (k,) risks."""

    days: tuple[float, ...]
    risk: tuple[float, ...]


class Compared(Part):
    """Models side by side on the same test people, by the model's name."""

    ABSENT_IF_NONE = frozenset({"events_by_horizon"})
    title: str
    people: int | None
    """None, as the events, where the people left out of it would be 1 to 10."""
    events: int | None
    """People with the event at any time in their follow-up."""
    events_by_horizon: int | None = None
    """People with the event by the last horizon; None where that would tell of 1 to 10 people."""
    models: Mapping[str, Metrics]


class AgainstEquation(Part):
    """The served risk minus the published equation, metric by metric, on the people whom the equation applies to."""

    ABSENT_IF_NONE = frozenset({"reason"})
    name: str
    people: int
    delta: Metrics
    reason: str | None = None
    """Why nobody is compared."""


class Importance(Part):
    """How much one feature moves the risks of people held out: its mean absolute term on the log scale."""

    feature: str
    label: str
    family: str
    modifiable: bool
    value: float
    low: float | None
    high: float | None
    rank_low: int
    rank_high: int
    """The 95 % range of its rank, 1 being the most important."""

    @property
    def metric(self) -> Metric:
        """The number alone."""
        return Metric(value=self.value, low=self.low, high=self.high)


class Reclassification(Part):
    """Net share of people with, and without, the event whom a block moves to the right side of a cut-off."""

    cutoff: float
    events: Metric
    nonevents: Metric


class NetBenefit(Part):
    """By how much a block changes the net benefit per person of acting on those above a cut-off."""

    cutoff: float
    delta: Metric


class AddedInGroup(Part):
    """What a block adds among one group's people; empty, with the reason, where it cannot be said."""

    ABSENT_IF_NONE = frozenset({"reason"})
    people: int | None
    events: int | None = None
    reason: str | None = None
    delta: Metrics
    reclassification: tuple[Reclassification, ...] = ()
    net_benefit: tuple[NetBenefit, ...] = ()


class Added(Part):
    """What one block of features adds to those before it, on the same test people: with it minus without it."""

    added: str
    to: tuple[str, ...]
    people: int | None
    """None where those without it would be 1 to 10."""
    delta: Metrics
    reclassification: tuple[Reclassification, ...] = ()
    net_benefit: tuple[NetBenefit, ...] = ()
    groups: Mapping[str, Mapping[str, AddedInGroup]] = {}
    """By grouping (ancestry) and level."""
    sentence: str


class Group(Part):
    """The served risk's metrics among one group's people. Counts that would tell of 1 to 10 people are None."""

    ABSENT_IF_NONE = frozenset({"reason"})
    people: int | None
    events: int | None = None
    metrics: Metrics
    reason: str | None = None
    """Why there are no metrics."""


Groups = Mapping[str, Mapping[str, Group]]  # by grouping and level


class Gap(Part):
    """The widest difference in AUC between two groups, beside the one that chance alone would make."""

    auc: float
    low: float | None = None
    """The lower end of its 95 % interval; 0 where it has none."""
    lowest: str
    highest: str
    expected_by_chance: float | None = None
    """The mean of the widest difference when people are shuffled between the groups."""
    chance_high: float | None = None
    """What 95 in 100 such shuffles stay below."""


class BlockFeatures(Part):
    """A block of the study and the features in it."""

    name: str
    genomic: bool
    features: tuple[str, ...]


class Suspect(Part):
    """A feature of a flat table that looks as if it knew the outcome."""

    ABSENT_IF_NONE = frozenset({"reason"})
    feature: str
    words: str
    """What about it looks like the outcome."""
    reason: str | None = None
    """Why it may be used all the same, as the study explains it."""

    @property
    def said(self) -> str:
        """In words.

        >>> Suspect(feature="autopsy", words="tells the outcome alone (AUC 1.000)").said
        "'autopsy' tells the outcome alone (AUC 1.000)"
        """
        explained = "" if self.reason is None else f" (explained: {self.reason})"
        return f"'{self.feature}' {self.words}{explained}"


class Data(Part):
    """The rows that were learned from or tested. Counts that would tell of 1 to 10 rows are None."""

    ABSENT_IF_NONE = frozenset({"suspects"})

    digest: str
    """SHA-256 of features, outcome, persons and index moments."""
    first_index: str | None
    last_index: str | None
    """YYYY-MM-DD, or YYYY-MM where fewer than 11 rows share the day; None in a table without dates."""
    median_followup_days: float | None
    rows_with_event: int | None
    rows_with_competing_event: int | None
    rows_without_either: int | None
    features: int
    code_features: int
    blocks: tuple[BlockFeatures, ...]
    missing: Mapping[str, float]
    """Share of rows without a value, 0 to 1, by feature."""
    sensitive: Mapping[str, tuple[str, ...]]
    """Features that tell of a person's race, sex, age and so on, by what they tell of."""
    left_out: tuple[str, ...] = ()
    """Columns, or features, that the study's blocks do not name."""
    suspects: tuple[Suspect, ...] | None = None
    """Features of a flat table that look like the outcome; None where nobody has looked."""

    @property
    def unexplained(self) -> tuple[Suspect, ...]:
        """Features that look like the outcome, and of which the study does not say why they are known at the index."""
        return tuple(one for one in self.suspects or () if one.reason is None)


class Capacity(Part):
    """What a team finds that can take on a share of people, those of the highest risk."""

    share: float
    flagged: int
    sensitivity: Metric
    ppv: Metric
    alerts_per_true_case: Metric


class DrawnCalibration(Part):
    """Observed against predicted risk: (k,) grid and smoothed; (g,) expected, observed and rows in tenths of risk."""

    grid: tuple[float | None, ...]
    smoothed: tuple[float | None, ...]
    expected: tuple[float | None, ...]
    observed: tuple[float | None, ...]
    people: tuple[int | None, ...]


class Histogram(Part):
    """How many rows have which risk: (b + 1,) edges, (b,) counts, None for 1 to 10 and what would give them away."""

    edges: tuple[float | None, ...]
    counts: tuple[int | None, ...]


class Decision(Part):
    """Net benefit per person over (t,) thresholds, of each model and of acting on everybody; of nobody it is 0."""

    thresholds: tuple[float, ...]
    treat_all: tuple[float | None, ...]
    models: Mapping[str, tuple[float | None, ...]]
    cutoffs: tuple[float, ...] = ()


class OverTime(Part):
    """AUC and Brier score of the served risk at (t,) days since the index."""

    days: tuple[float, ...]
    auc: tuple[Metric, ...]
    brier: tuple[Metric, ...]


class Figures(Part):
    """The numbers that figures draw. Without people to whom all drawn models apply there is no curve."""

    capacity: tuple[Capacity, ...]
    people: int | None = None
    calibration: Mapping[str, DrawnCalibration] | None = None
    histogram: Histogram | None = None
    decision: Decision | None = None
    over_time: OverTime | None = None
    """None for a binary outcome."""


class PeriodRatio(Part):
    """Hazards of the record's last years over those that risks were calibrated to, with its 95 % interval."""

    horizon_days: float
    years: int
    people: int
    """With the event in those years."""
    ratio: float
    low: float
    high: float
    factor: float
    """What hazards are multiplied by: the ratio drawn towards 1."""


class PeriodTested(Part):
    """The ratio on people held out, before and after their own split's factor."""

    before: PeriodRatio
    after: PeriodRatio


class PeriodFollowed(Part):
    """The served model brought to the record's last years, by horizon."""

    served: tuple[PeriodRatio, ...]
    tested: PeriodTested | None


class BetweenSites(Part):
    """One metric over sites: the random-effects mean with its 95 % interval, and where another site's would lie."""

    sites: int
    mean: float
    low: float
    high: float
    tau: float
    """Standard deviation between sites."""
    i2: float
    """Share of the spread that is no chance, 0 to 1."""
    predicted_low: float
    predicted_high: float
    """The 95 % prediction interval of another site's value."""

    @property
    def metric(self) -> Metric:
        """The mean with its interval."""
        return Metric(value=self.mean, low=self.low, high=self.high)


class Sites(Part):
    """Each site by the model that never saw it, and how sites differ, by metric."""

    by_site: Mapping[str, Group]
    between_sites: Mapping[str, BetweenSites]


class LeakageProof(Part):
    """What the leakage guard found."""

    passed: bool
    sentence: str
    canaries: int
    moved: tuple[str, ...]
    proven: int | None = None
    unproven: tuple[str, ...] = ()
    people_in_two_splits: int
    suspicious: Mapping[str, float]
    """AUC of a feature alone, where it is implausible."""
    auc: float | None
    auc_earlier: Mapping[str, float] | None
    """AUC with the index some days earlier, by those days."""


class Search(Part):
    """A search for settings: how many trials, how many of them were cut short, and the best by the score reached."""

    trials: int
    pruned: int
    best: Mapping[str, float | int | str]
    score: float


class Tuned(Search):
    """The search of the model that is served, and that of each split by name."""

    splits: Mapping[str, Search]


class RegisteredAs(Part):
    """Where MLflow keeps the model. digest: of the bundle."""

    model: str
    version: int
    run_id: str
    digest: str


class Document(Part):
    """A whole result, as it is kept in a file."""

    VERSION: ClassVar[int]  # a key that is added leaves it as it is, a key whose meaning changes makes it one more
    VERSION_KEY: ClassVar[str]
    GONE: ClassVar[frozenset[str]] = frozenset()  # keys of an earlier day that nobody reads any more

    def write(self, path: Path) -> None:
        """Write the file whole or not at all."""
        write_text(path, self.to_text())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what an earlier or this Presage wrote. Raises PresageError naming the file and the first wrong key."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            raise PresageError(str(path), "a result as JSON", found="text that is none") from None
        if isinstance(document, dict):
            cls._check_version(document, path)
            document = {key: part for key, part in document.items() if key not in cls.GONE}
        try:
            return cls.model_validate_json(json.dumps(document))  # as JSON: strict, yet its arrays are tuples
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ", ".join([str(path), ".".join(str(part) for part in first["loc"])])
            expected = f"what a result of version {cls.VERSION} holds"
            raise PresageError(where, expected, found=f"what is no such part ({first['msg'].lower()})") from None

    @classmethod
    def _check_version(cls, document: Mapping[str, Any], path: Path) -> None:
        version = document.get(cls.VERSION_KEY)
        if isinstance(version, int) and version > cls.VERSION:
            raise PresageError(
                str(path),
                f"a result of version {cls.VERSION} or earlier",
                found=f"version {version}",
                way_out="use the Presage that wrote it, or a later one",
            )


class Result(Document):
    """Every number of a training on people held out: aggregates only, and counts of 1 to 10 people are None."""

    ABSENT_IF_NONE = frozenset({"period", "sites", "leakage", "tuning", "registered", "folds", "events_by_horizon"})
    VERSION, VERSION_KEY = 1, "version"
    GONE = frozenset({"card"})  # who had signed it: a card is kept with its version
    version: int | None = None
    """Of this tree; None where it was written before there were versions."""
    study: str
    title: str
    kind: Literal["predictive"]
    people: int
    rows: int
    events: int
    """People with the event at any time in their follow-up."""
    attrition: tuple[Step, ...]
    validation: Validation
    chosen: Chosen
    candidates: Mapping[str, Mapping[str, Metrics]]
    """By candidate and horizon: the days as `3650`, or `all` for a binary outcome."""
    incidence: Incidence | None = None
    """None for a binary outcome."""
    inner_brier: Mapping[str, float]
    """By candidate: the weighted Brier score of held-out training rows, by which the choice is made."""
    comparison: Mapping[str, Compared]
    """By set of people: everyone, genomic, equation, genomic_equation."""
    equation: AgainstEquation | None
    """None where the study names no equation."""
    importance: tuple[Importance, ...] = ()
    """The most important first."""
    blocks: tuple[Added, ...]
    groups: Groups
    gaps: Mapping[str, Gap]
    """By grouping; none where fewer than two groups are large enough."""
    notes: tuple[str, ...]
    seed: int
    study_digest: str
    """SHA-256 of the validated study."""
    data: Data | None = None
    figures: Figures | None = None
    code_digest: str | None = None
    """SHA-256 of the source of the rooms that make a model."""
    period: PeriodFollowed | None = None
    """Of a model fitted to everybody, where the record's last years can be compared."""
    sites: Sites | None = None
    """Of a study that leaves out one site at a time."""
    leakage: LeakageProof | None = None
    """Of a study of a record."""
    tuning: Mapping[str, Tuned] | None = None
    """By candidate, where settings were searched for."""
    registered: RegisteredAs | None = None
    """None within the bundle, which is sealed before it is registered."""
    events_by_horizon: int | None = None
    """People with the event by the last horizon; None for a binary outcome, or if it would tell of 1 to 10 people."""
    time_unit: Literal["days", "weeks", "months", "years", "unknown"] | None = None
    """The unit in which horizons are said: that of the table's times (days, weeks, months, years), or unknown where
    nobody has named it. Keys and numbers count days; None: nothing but days was known.
    """
    folds: Mapping[str, Fold] | None = None
    """By split, at the last horizon; None where there is one."""

    @property
    def last_metrics(self) -> Mapping[str, Metrics]:
        """Each candidate's metrics at the last horizon."""
        return {name: list(found.values())[-1] for name, found in self.candidates.items()}
