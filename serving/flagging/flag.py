"""Raising flags: from a file of receipts and a policy to the store, in one transaction."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console, ConsoleOptions, RenderResult
from sqlalchemy import Engine

from features.errors import PresageError
from features.findings import Actionable
from features.findings.actionable import actionable
from features.progress import Progress, silent
from features.record import FINDINGS, Record
from features.shown import Shown
from serving.flagging.genetics import GeneticRecord, genetic_records
from serving.flagging.people import panels_of, persons_of
from serving.flagging.policy import Action, Candidate, Policy, read_policy, shortlist
from serving.flagging.settle import Settled, resting, settle
from serving.scoring import Champion, Scores, load_version, moment, read_scores, reasons_of
from serving.settings import Settings
from serving.store import (
    UNASSIGNED,
    Proposal,
    Reason,
    Receipt,
    Run,
    Standing,
    open_store,
    reading,
    repository,
    transaction,
)

NOT_ENROLLED = "not enrolled on the day of the scores"


@dataclass(frozen=True, slots=True, repr=False)
class Raised(Shown):
    """The result of a run of `presage flag`: how many people were listed and flagged, and what became of the flags."""

    policy: Policy
    listed: int
    findings: int
    scored: int
    settled: Settled
    repeated: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Counts only: who was flagged is on the worklist, behind a sign-in."""
        rule = self.policy.shortlist
        yield f"{self.policy.title} (policy {self.policy.name} version {self.policy.version}, {self.policy.hash[:12]})"
        if self.repeated:
            yield "  these scores were flagged by this policy before: the list stands"
        yield f"  {self.listed:,} listed of {self.scored:,} scored, capacity {rule.capacity:,} per {rule.per}"
        yield f"  {self.findings:,} flags for actionable findings, outside the capacity"
        done = self.settled
        yield f"  raised {done.raised:,}, renewed {done.renewed:,}, left {done.kept:,}, lapsed {done.lapsed:,}"


def flag(
    scores_path: Path,
    *,
    policy_path: Path,
    record_dir: Path,
    settings: Settings,
    now: datetime,
    progress: Progress = silent,
) -> Raised:
    """Apply a policy to a file of receipts, and write the flags. The same file and policy again changes no list.

    Raises PresageError where the policy belongs to another study; where the scores are older than those of the last
    run, of a day that has not come, or of nobody; or where a listed person's features have changed since the scores
    were made.
    """
    policy = read_policy(policy_path)
    record = Record.open(record_dir)
    scores = read_scores(scores_path)
    _check_day(scores, scores_path, now=now)
    receipts = _receipts_of(scores, policy)
    engine = open_store(settings.store_url)
    with progress("choosing whom to flag"):
        standing, run_id = _what_stands(engine, policy, scores=scores)
        rest = resting(policy.shortlist, standing, now=now)
        # Scores that this policy has flagged before list nobody: a person whose flag was decided on since then would
        # otherwise leave a place to the next in line.
        listed = [] if run_id is not None else _listed(policy, receipts, panels=panels_of(record_dir), rest=rest)
        findings = _findings(record_dir, policy, as_of=scores.as_of)
    named = sorted({*listed, *(finding.subject_id for finding in findings)})
    genetics = genetic_records(record_dir, as_of=scores.as_of, subject_ids=named)
    with progress("putting reasons into words"):
        why = _explain(scores, [receipts[subject_id] for subject_id in listed], record=record)
    everybody = {receipt.subject_id: receipt for receipt in scores.receipts}
    proposals = [
        *(
            _of_finding(finding, policy, genetics=genetics, receipt=everybody.get(finding.subject_id), now=now)
            for finding in findings
        ),
        *(
            _of_risk(receipts[subject_id], policy, genetics=genetics, why=why[subject_id], now=now)
            for subject_id in listed
        ),
    ]
    with progress("writing the flags"), transaction(engine) as connection:
        repository.add_policy(connection, policy.row())
        repository.add_persons(connection, persons_of(record_dir, named))
        repeated = run_id is not None
        if run_id is None:
            not_scored = len(scores.receipts) - len(receipts)
            run = Run(policy.hash, scores.digest, scores.as_of, now, len(receipts), not_scored)
            run_id = repository.add_run(connection, run)
        settled = settle(
            connection,
            proposals,
            policy=policy,
            receipts=receipts,
            run_id=run_id,
            now=now,
            list_stands=repeated,
        )
    return Raised(policy, len(listed), len(findings), len(receipts), settled, repeated)


def flag_scores(
    scores: Scores | Path,
    *,
    policy_path: Path,
    record_dir: Path,
    settings: Settings,
    now: datetime,
    progress: Progress = silent,
) -> Raised:
    """As `flag`, of a file of receipts or of receipts that were not written to one."""
    run = partial(flag, policy_path=policy_path, record_dir=record_dir, settings=settings, now=now, progress=progress)
    if isinstance(scores, Path):
        return run(scores)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.parquet"
        scores.write(path)
        return run(path)


def _check_day(scores: Scores, path: Path, *, now: datetime) -> None:
    """Scores of a day to come would end every flag and keep the true ones out until then: a mistyped year."""
    if not scores.receipts:
        raise PresageError(
            str(path), "receipts of at least one person", found="none, and the list would end", way_out="score again"
        )
    if scores.as_of > now + timedelta(days=1):  # as-of times are local, now is UTC
        raise PresageError(
            str(path),
            "scores as of a day that has come",
            found=f"scores as of {moment(scores.as_of)}",
            way_out="score again",
        )


def _what_stands(engine: Engine, policy: Policy, *, scores: Scores) -> tuple[list[Standing], int | None]:
    """The policy's flags so far, and the run that already flagged these scores."""
    with reading(engine) as connection:
        last = repository.last_as_of(connection, policy.name)
        if last is not None and scores.as_of < last:
            raise PresageError(
                "SCORES",
                f"an as-of date not before that of the policy's last run, {last:%Y-%m-%d}",
                found=moment(scores.as_of),
                way_out="flag the newer scores; older ones would undo them",
            )
        standing = repository.last_flags(connection, policy.name)
        return standing, repository.run_of(connection, policy.hash, scores_digest=scores.digest)


def _listed(
    policy: Policy, receipts: Mapping[int, Receipt], *, panels: Mapping[int, str], rest: Collection[int]
) -> list[int]:
    candidates = (
        Candidate(receipt.subject_id, panels.get(receipt.subject_id, UNASSIGNED), _risk(receipt, policy)[0])
        for receipt in receipts.values()
        if receipt.subject_id not in rest
    )
    return [candidate.subject_id for candidate in shortlist(policy.shortlist, candidates)]


def _receipts_of(scores: Scores, policy: Policy) -> dict[int, Receipt]:
    """The scored receipts by subject, checked to be of the policy's study and horizon."""
    scored = {receipt.subject_id: receipt for receipt in scores.receipts if receipt.not_scored is None}
    for receipt in scored.values():
        if receipt.study != policy.study:
            raise PresageError(
                "--policy",
                f"a policy for the study of these scores, {receipt.study}",
                found=f"one for {policy.study}",
                way_out="give the study's own",
            )
        _risk(receipt, policy)
        break
    return scored


def _risk(receipt: Receipt, policy: Policy) -> tuple[float, float | None]:
    """The probability at the policy's horizon (the last one where it names none), and that horizon."""
    wanted = policy.shortlist.horizon_days
    if wanted is None or receipt.horizons_days == (None,):
        return receipt.risks[-1], receipt.horizons_days[-1]
    for days, risk in zip(receipt.horizons_days, receipt.risks, strict=True):
        if days == wanted:
            return risk, days
    known = ", ".join(f"{days:g}" for days in receipt.horizons_days if days is not None)
    raise PresageError(
        "--policy, [shortlist] horizon_days",
        f"a horizon of the scores among {known}",
        found=f"{wanted:g}",
    )


def _findings(record_dir: Path, policy: Policy, *, as_of: datetime) -> list[Actionable]:
    path = record_dir / "genomic" / "findings.parquet"
    if not path.exists() or not policy.findings:
        return []
    reported = pq.read_table(path, schema=FINDINGS)
    return [
        finding for finding in actionable(reported, as_of=as_of) if policy.rule_for(finding.gene_symbol) is not None
    ]


def _explain(scores: Scores, listed: Sequence[Receipt], *, record: Record) -> Mapping[int, tuple[Reason, ...]]:
    if not listed:
        return {}
    champion: Champion = load_version(scores.model, listed[0].model_version)
    if champion.bundle.digest != listed[0].bundle_digest:
        raise PresageError(
            "SCORES", "receipts of the bundle that the registry holds", found="those of another", way_out="score again"
        )
    return reasons_of(champion, listed, record=record)


def _of_risk(
    receipt: Receipt,
    policy: Policy,
    *,
    genetics: Mapping[int, GeneticRecord],
    why: tuple[Reason, ...],
    now: datetime,
) -> Proposal:
    risk, horizon_days = _risk(receipt, policy)
    status, words = genetics.get(receipt.subject_id, GeneticRecord()).status(policy.genes)
    return Proposal(
        subject_id=receipt.subject_id,
        kind="risk",
        cause=policy.study,
        headline=policy.shortlist.headline,
        reasons=why,
        genetic_status=status,
        genetic_words=words,
        risk=risk,
        horizon_days=horizon_days,
        model=receipt.model,
        action=policy.shortlist.action.text,
        action_source=policy.shortlist.action.source,
        owner=policy.shortlist.action.owner,
        due_on=_due(policy.shortlist.action, now),
    )


def _of_finding(
    finding: Actionable,
    policy: Policy,
    *,
    genetics: Mapping[int, GeneticRecord],
    receipt: Receipt | None,
    now: datetime,
) -> Proposal:
    rule = policy.rule_for(finding.gene_symbol)
    if rule is None:
        raise ValueError("findings without a rule were to be left out")
    status, words = genetics.get(finding.subject_id, GeneticRecord()).status(policy.genes)
    scored = receipt is not None and receipt.not_scored is None
    risk, horizon_days = _risk(receipt, policy) if receipt is not None and scored else (None, None)
    why_not = NOT_ENROLLED if receipt is None else receipt.not_scored
    reported = f"{finding.laboratory}, report {finding.report_id}"
    if finding.available_time is not None:
        reported += f" of {finding.available_time.day} {finding.available_time:%b %Y}"
    return Proposal(
        subject_id=finding.subject_id,
        kind="finding",
        cause=finding.gene_symbol,
        headline=rule.headline,
        reasons=(
            Reason(f"{finding.gene_symbol} {', '.join(finding.variants)}: {finding.classification}"),
            Reason(f"{reported}; actionable by {finding.source}"),
        ),
        genetic_status=status,
        genetic_words=words,
        risk=risk,
        horizon_days=horizon_days,
        model=receipt.model if receipt is not None and scored else None,
        not_scored=why_not,
        report_id=finding.report_id,
        action=rule.action.text,
        action_source=rule.action.source,
        owner=rule.action.owner,
        due_on=_due(rule.action, now),
    )


def _due(action: Action, now: datetime) -> date:
    return (now + timedelta(days=action.deadline_days)).date()
