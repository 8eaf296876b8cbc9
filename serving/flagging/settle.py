"""Brings the store's flags in line with a policy's proposals: raised, renewed, left alone or lapsed.

People's decisions hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from serving.flagging.policy import Policy, ShortList
from serving.store import Proposal, Receipt, Standing, repository

NO_LONGER_LISTED = "No longer among the highest risks."
NO_LONGER_ACTIONABLE = "No longer reported as actionable."


@dataclass(frozen=True, slots=True)
class Settled:
    """How many flags a run raised, renewed, left as they were and let lapse."""

    raised: int = 0
    renewed: int = 0
    kept: int = 0
    lapsed: int = 0


def resting(rule: ShortList, standing: Iterable[Standing], *, now: datetime) -> set[int]:
    """The people whom a decision keeps off the list: accepted, deferred to a later day, or dismissed or done a short
    while ago.
    """
    rest = timedelta(days=rule.rest_days)
    return {
        last.subject_id
        for last in standing
        if last.kind == "risk"
        and (
            last.status == "accepted"
            or (last.deferred_until is not None and last.deferred_until > now.date())
            or (last.status in ("dismissed", "done") and last.changed_at + rest > now)
        )
    }


def settle(
    connection: Connection,
    proposals: Collection[Proposal],
    *,
    policy: Policy,
    receipts: Mapping[int, Receipt],
    run_id: int,
    now: datetime,
    list_stands: bool = False,
) -> Settled:
    """Bring the store's flags of a policy in line with the proposals of today. A decision of a person is never undone.

    list_stands: these scores were listed before, so that only findings can be new.
    """
    last = {(s.subject_id, s.kind, s.cause): s for s in repository.last_flags(connection, policy.name)}
    counted = {"raised": 0, "renewed": 0, "kept": 0, "lapsed": 0}
    for proposal in proposals:
        before = last.pop((proposal.subject_id, proposal.kind, proposal.cause), None)
        what = _fate(proposal, before, now=now, list_stands=list_stands)
        counted[what] += 1
        if what == "kept":
            continue
        receipt = receipts.get(proposal.subject_id)
        receipt_id = None if receipt is None else repository.add_receipt(connection, receipt)
        row = policy.row()
        if before is not None and what == "renewed":
            repository.renew_flag(
                connection, before.flag_id, proposal=proposal, policy=row, receipt_id=receipt_id, run_id=run_id, now=now
            )
        else:
            repository.raise_flag(connection, proposal, policy=row, receipt_id=receipt_id, run_id=run_id, now=now)
    for gone in last.values():
        if _lapses(gone) and not (list_stands and gone.kind == "risk"):
            note = NO_LONGER_LISTED if gone.kind == "risk" else NO_LONGER_ACTIONABLE
            repository.lapse_flag(connection, gone.flag_id, note=note, run_id=run_id, now=now)
            counted["lapsed"] += 1
    return Settled(**counted)


def _fate(proposal: Proposal, before: Standing | None, *, now: datetime, list_stands: bool) -> str:
    if before is None or before.status == "lapsed":
        return "raised"
    if before.status == "open":
        return "kept" if list_stands and proposal.report_id == before.report_id else "renewed"
    if before.status == "deferred" and before.deferred_until is not None and before.deferred_until <= now.date():
        return "renewed"
    if before.status in ("accepted", "deferred"):
        return "kept"
    # Dismissed or done: a finding comes back only with another report, a risk after its rest (the list saw to that).
    return "raised" if proposal.kind == "risk" or proposal.report_id != before.report_id else "kept"


def _lapses(gone: Standing) -> bool:
    """An untouched flag, and a finding's in work too: its reason is gone. A risk in work stays until it is done."""
    return gone.status == "open" or (gone.kind == "finding" and gone.status in ("accepted", "deferred"))
