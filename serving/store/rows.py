"""The store's questions and answers as plain values: viewers, flags, history, receipts, runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

UNASSIGNED = "unassigned"  # the panel of people whose source names no care site


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in user who asks, with one role, and the panels of the people at whom the user may look."""

    user_id: int
    name: str
    role: str
    panel_ids: frozenset[int]
    epoch: int


@dataclass(frozen=True, slots=True)
class SignIn:
    """The values that checking a password needs."""

    user_id: int
    password_hash: str | None
    disabled: bool
    failures: int
    locked_until: datetime | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Person:
    """A person of the record as the people who care for them know them."""

    subject_id: int
    source: str
    source_id: str
    panel: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of one person (contract 7).

    `horizons_days` is [None] for a binary outcome. `not_scored` set: there are no risks.
    """

    subject_id: int
    as_of: datetime
    study: str
    model: str
    model_reason: str
    model_version: str
    bundle_digest: str
    catalogue_hash: str
    feature_hash: str
    horizons_days: tuple[float | None, ...]
    risks: tuple[float, ...]
    not_scored: str | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the risk is what it is, in words; `weight` is its share on the model's own scale, positive when it raises.

    modifiable: whether care can change it; None where that is no question.
    """

    words: str
    weight: float | None = None
    modifiable: bool | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A flag that a policy wants raised; it names an action with its source, an owner and a deadline."""

    subject_id: int
    kind: str
    cause: str
    headline: str
    reasons: tuple[Reason, ...]
    action: str
    action_source: str
    owner: str
    due_on: date
    genetic_status: str
    genetic_words: str
    risk: float | None = None
    horizon_days: float | None = None
    model: str | None = None
    not_scored: str | None = None
    report_id: str | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag as it stands on a worklist."""

    id: int
    subject_id: int
    source_id: str
    panel: str
    policy_name: str
    policy_version: str
    policy_hash: str
    policy_title: str
    kind: str
    cause: str
    headline: str
    reasons: tuple[Reason, ...]
    action: str
    action_source: str
    owner: str
    due_on: date
    risk: float | None
    horizon_days: float | None
    model: str | None
    not_scored: str | None
    genetic_status: str
    genetic_words: str
    status: str
    deferred_until: date | None
    raised_at: datetime
    receipt_id: int | None


@dataclass(frozen=True, slots=True)
class FlagEvent:
    """One line of a flag's history."""

    flag_id: int
    at: datetime
    what: str
    by: str | None
    note: str
    until: date | None
    headline: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The last flag of a person for one cause, which flagging again has to respect."""

    flag_id: int
    subject_id: int
    kind: str
    cause: str
    status: str
    report_id: str | None
    deferred_until: date | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """One application of a policy to one file of scores."""

    policy_hash: str
    scores_digest: str
    as_of: datetime
    made_at: datetime
    scored: int
    not_scored: int


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A policy as it was when it flagged."""

    hash: str
    name: str
    version: str
    title: str
    document: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Count:
    """How many flags of one policy and panel stand in one status."""

    policy_title: str
    panel: str
    kind: str
    status: str
    people: int


@dataclass(frozen=True, slots=True)
class Filter:
    """The part of a worklist that is wanted; None means all of it."""

    status: str = "open"
    policy_name: str | None = None
    genetic_status: str | None = None
    words: str = ""
