"""Questions and writes of a run of flagging: policy, people, receipts, flags and their history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import (
    Connection,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from features.errors import PresageError
from serving.store.repository.accounts import new_id, panel_id
from serving.store.rows import (
    UNASSIGNED,
    Person,
    PolicyRow,
    Proposal,
    Receipt,
    Run,
    Standing,
)
from serving.store.schema import (
    flag_events,
    flags,
    persons,
    policies,
    receipts,
    runs,
)

_BATCH = 400  # values in one IN list; SQLite allows 999 by default


def add_policy(connection: Connection, policy: PolicyRow) -> None:
    """Keep the policy that flags refer to. Raises PresageError where another policy has this name and version."""
    known = connection.scalar(
        select(policies.c.hash).where(policies.c.name == policy.name, policies.c.version == policy.version)
    )
    if known == policy.hash:
        return
    if known is not None:
        raise PresageError(
            f"policy {policy.name}, version {policy.version}",
            "what this version said when it was first used",
            found="something else",
            way_out="give the changed policy a new version",
        )
    connection.execute(
        insert(policies).values(
            hash=policy.hash,
            name=policy.name,
            version=policy.version,
            title=policy.title,
            document=dict(policy.document),
        )
    )


def add_persons(connection: Connection, people: Sequence[Person]) -> None:
    """People about to be flagged, with their panel of today. Raises PresageError for another record's people."""
    known = {
        row.subject_id: (row.source, row.source_id)
        for batch in _batches([person.subject_id for person in people])
        for row in connection.execute(select(persons).where(persons.c.subject_id.in_(batch)))
    }
    for someone in people:
        panel = panel_id(connection, someone.panel or UNASSIGNED)
        if someone.subject_id not in known:
            values = {"source": someone.source, "source_id": someone.source_id, "panel_id": panel}
            connection.execute(insert(persons).values(subject_id=someone.subject_id, **values))
        elif known[someone.subject_id] != (someone.source, someone.source_id):
            raise PresageError(
                "the store",
                "flags of this record only",
                found="those of another",
                way_out="set PRESAGE_HOME or PRESAGE_STORE_URL to a store of this record's own",
            )
        else:
            connection.execute(update(persons).where(persons.c.subject_id == someone.subject_id).values(panel_id=panel))


def run_of(connection: Connection, policy_hash: str, *, scores_digest: str) -> int | None:
    """The run that already applied this policy to these scores."""
    return connection.scalar(
        select(runs.c.id).where(runs.c.policy_hash == policy_hash, runs.c.scores_digest == scores_digest)
    )


def last_as_of(connection: Connection, policy_name: str) -> datetime | None:
    """The newest as-of time that any version of a policy was applied at."""
    query = select(func.max(runs.c.as_of)).join(policies, runs.c.policy_hash == policies.c.hash)
    newest: datetime | None = connection.scalar(query.where(policies.c.name == policy_name))
    return newest


def add_run(connection: Connection, run: Run) -> int:
    """Remember that a policy was applied to a file of scores, and return the run's number."""
    added = connection.execute(
        insert(runs).values(
            policy_hash=run.policy_hash,
            scores_digest=run.scores_digest,
            as_of=run.as_of,
            made_at=run.made_at,
            scored=run.scored,
            not_scored=run.not_scored,
        )
    )
    return new_id(added)


def add_receipt(connection: Connection, receipt: Receipt) -> int:
    """Keep the receipt behind a flag, and return its number; the same receipt is kept once."""
    values = {
        name: getattr(receipt, name)
        for name in Receipt.__slots__
        if name not in ("not_scored", "horizons_days", "risks")
    }
    values |= {"horizons_days": list(receipt.horizons_days), "risks": list(receipt.risks)}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(receipts).values(values).on_conflict_do_nothing())
    same = [receipts.c[name] == values[name] for name in ("subject_id", "as_of", "bundle_digest", "feature_hash")]
    return int(connection.execute(select(receipts.c.id).where(*same)).scalar_one())


def last_flags(connection: Connection, policy_name: str) -> list[Standing]:
    """The newest flag of each person, kind and cause under a policy, whatever became of it."""
    columns = [flags.c[name] for name in Standing.__slots__ if name != "flag_id"]
    query = select(flags.c.id, *columns).where(flags.c.policy_name == policy_name).order_by(flags.c.id)
    newest = {(row.subject_id, row.kind, row.cause): Standing(*row) for row in connection.execute(query)}
    return list(newest.values())


def raise_flag(
    connection: Connection,
    proposal: Proposal,
    *,
    policy: PolicyRow,
    receipt_id: int | None,
    run_id: int,
    now: datetime,
) -> int:
    """Add an open flag and the first line of its history, and return the flag's number."""
    values = _values(proposal, policy=policy, receipt_id=receipt_id, now=now)
    values |= {"due_on": proposal.due_on, "raised_at": now}
    added = connection.execute(insert(flags).values(values))
    flag_id = new_id(added)
    _note_run(connection, flag_id, what="raised", run_id=run_id, now=now)
    return flag_id


def renew_flag(
    connection: Connection,
    flag_id: int,
    *,
    proposal: Proposal,
    policy: PolicyRow,
    receipt_id: int | None,
    run_id: int,
    now: datetime,
) -> None:
    """Keep a flag standing with the risk and reasons of today; its deadline stays where it was."""
    values = _values(proposal, policy=policy, receipt_id=receipt_id, now=now)
    connection.execute(update(flags).where(flags.c.id == flag_id).values(values | {"deferred_until": None}))
    _note_run(connection, flag_id, what="renewed", run_id=run_id, now=now)


def lapse_flag(connection: Connection, flag_id: int, *, note: str, run_id: int, now: datetime) -> None:
    """Let a flag lapse, because the reason for it is gone."""
    connection.execute(
        update(flags).where(flags.c.id == flag_id).values(status="lapsed", deferred_until=None, changed_at=now)
    )
    _note_run(connection, flag_id, what="lapsed", run_id=run_id, now=now, note=note)


def _values(proposal: Proposal, *, policy: PolicyRow, receipt_id: int | None, now: datetime) -> dict[str, object]:
    skipped = ("due_on",)
    values: dict[str, object] = {name: getattr(proposal, name) for name in Proposal.__slots__ if name not in skipped}
    return values | {
        "reasons": [asdict(reason) for reason in proposal.reasons],
        "policy_hash": policy.hash,
        "policy_name": policy.name,
        "receipt_id": receipt_id,
        "status": "open",
        "changed_at": now,
    }


def _note_run(connection: Connection, flag_id: int, *, what: str, run_id: int, now: datetime, note: str = "") -> None:
    connection.execute(insert(flag_events).values(flag_id=flag_id, at=now, what=what, run_id=run_id, note=note))


def _batches(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH)]
