"""The leakage guard of a study: canaries, suspicious features, people in two splits, and an index set earlier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from features.arrays import Floats
from features.build import build
from features.catalogue import Catalogue
from features.errors import PresageError
from features.index import Index
from features.leakage import CanaryProof, prove_no_movement, shifted
from features.progress import Progress, silent
from features.record import Record
from features.shown import Shown
from training.cohort import EVENT, Cohort, Scheme, event_rates
from training.heldout import SPLITTING, Bench, HeldOut, Plan, hold_out
from training.result import IMPLAUSIBLE_AUC, LeakageProof
from training.study import Study, naming_the_study, read_study

MIN_EVENTS = 20
SHIFTS_DAYS = (1, 30)
LARGEST_FALL = {1: 0.02, 30: 0.05}  # in AUC, when the index is set so many days earlier


@dataclass(frozen=True, slots=True, repr=False)
class Leakage(Shown):
    """What the guard found. suspicious: features with an implausible AUC alone. auc_earlier: by days, where asked."""

    canaries: CanaryProof
    people_in_two_splits: int
    suspicious: Mapping[str, float]
    auc: float | None = None
    auc_earlier: Mapping[int, float] | None = None

    @property
    def falls(self) -> dict[int, float]:
        """Days -> fall of the AUC beyond what is plausible."""
        if self.auc is None or self.auc_earlier is None:
            return {}
        found = {days: self.auc - auc for days, auc in self.auc_earlier.items()}
        return {days: fall for days, fall in found.items() if fall > LARGEST_FALL[days]}

    @property
    def passed(self) -> bool:
        """Whether nothing leaks that the guard can see; a suspicious feature is for a person to judge."""
        return self.canaries.holds and self.people_in_two_splits == 0 and not self.falls

    @property
    def sentence(self) -> str:
        """In words."""
        parts = [
            f"{self.canaries.canaries:,} canaries from the moment on moved {len(self.canaries.moved)} features",
            f"before it the same canaries move {self.canaries.proven}, and {len(self.canaries.unproven)} stay unproven",
            f"{self.people_in_two_splits} people in two splits",
            f"{len(self.suspicious)} features with a single-variable AUC above {IMPLAUSIBLE_AUC:g}",
        ]
        for days, auc in (self.auc_earlier or {}).items():
            parts.append(f"AUC {auc:.3f} with the index {days} days earlier (as it is: {self.auc:.3f})")
        return "; ".join(parts)

    @property
    def proof(self) -> LeakageProof:
        """What is stored with the model."""
        earlier = None if self.auc_earlier is None else {str(days): auc for days, auc in self.auc_earlier.items()}
        return LeakageProof(
            passed=self.passed,
            sentence=self.sentence,
            canaries=self.canaries.canaries,
            moved=tuple(self.canaries.moved),
            proven=self.canaries.proven,
            unproven=tuple(self.canaries.unproven),
            people_in_two_splits=self.people_in_two_splits,
            suspicious=dict(self.suspicious),
            auc=self.auc,
            auc_earlier=earlier,
        )

    def __repr__(self) -> str:
        """Whether anything leaks, in a line."""
        return f"<Leakage: {'no leak found' if self.passed else 'it leaks'}; {self.sentence}>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One line for each question."""
        for part in self.sentence.split("; "):
            yield f"  {part}"
        for name in self.canaries.unproven:
            yield Text(f"  unproven: {name} (no canary moves it, even before the moment)", style="yellow")
        for name, auc in self.suspicious.items():
            yield Text(f"  look at {name}: AUC {auc:.3f} alone", style="yellow")
        yield Text("No leak found." if self.passed else "It leaks.", style="green" if self.passed else "bold red")


def prove(plan: Plan, *, record: Record, progress: Progress = silent) -> Leakage:
    """The proofs that need no model: canaries, splits, single features. Stored with the model at training."""
    cohort = plan.cohort
    index = Index(cohort.frame.subject_ids, cohort.frame.as_of)
    rng = plan.stream("leakage")
    return Leakage(
        canaries=prove_no_movement(index, record, catalogue=_catalogue(cohort), rng=rng, progress=progress),
        people_in_two_splits=_in_two_splits(cohort, plan.scheme),
        suspicious=suspicious_features(cohort),
    )


def check(asked: Path | Study, *, record_dir: Path, seed: int = 7, progress: Progress = silent) -> Leakage:
    """All proofs: also the evaluation of the study's first candidate with the index one and 30 days earlier.

    Raises PresageError for a study of a flat table, which has no times.
    """
    study = asked if isinstance(asked, Study) else read_study(asked)
    with naming_the_study(study.where):
        return _check(study, record_dir=record_dir, seed=seed, progress=progress)


def _check(study: Study, *, record_dir: Path, seed: int, progress: Progress) -> Leakage:
    from training.cohort import read_record
    from training.heldout import candidates_of

    if study.is_flat:
        raise PresageError(
            study.where,
            "a study of a record",
            found="one of a flat table, which has no times to prove anything with",
        )
    cohort, _ = read_record(study, study.folder, record_dir=record_dir, truth=None, progress=progress)
    with threadpool_limits(1, user_api="blas"), progress(SPLITTING):
        plan = Plan.of(study, cohort, seed=seed)
    record = Record.open(record_dir)
    proof = prove(plan, record=record, progress=progress)
    with threadpool_limits(1, user_api="blas"), progress("fitting", total=len(plan.scheme.splits)) as advance:
        held = hold_out(plan, candidates_of(study, cohort)[0], advance=advance)
    earlier = {days: _auc_earlier(plan, held, record=record, days=days, progress=progress) for days in SHIFTS_DAYS}
    return replace(proof, auc=_auc(plan, held, risk=held.clinical), auc_earlier=earlier)


def _catalogue(cohort: Cohort) -> Catalogue:
    if cohort.catalogue_json is None:
        raise ValueError("leakage is proved on a cohort that was built from a record")
    return Catalogue.from_json(cohort.catalogue_json)


def _auc(plan: Plan, held: HeldOut, *, risk: Floats) -> float:
    return float(Bench.of(plan, held, n_boot=0).measure(risk, n_boot=0)["auc"].value)


def _auc_earlier(plan: Plan, held: HeldOut, *, record: Record, days: int, progress: Progress) -> float:
    """The clinical model's AUC on test rows whose features are those of some days before."""
    cohort = plan.cohort
    index = shifted(Index(cohort.frame.subject_ids, cohort.frame.as_of), days)
    before = replace(cohort, frame=build(index, record, catalogue=_catalogue(cohort), progress=progress))
    parts = [pair.risks(before, split.test)[0] for pair, split in zip(held.pairs, plan.scheme.splits, strict=True)]
    return _auc(plan, held, risk=np.concatenate(parts))


def _in_two_splits(cohort: Cohort, scheme: Scheme) -> int:
    both: set[int] = set()
    for split in scheme.splits:
        both |= set(np.intersect1d(cohort.persons[split.train], cohort.persons[split.test]).tolist())
    return len(both)


def suspicious_features(cohort: Cohort) -> dict[str, float]:
    """What alone tells events from the rest too well, with that AUC in the better direction.

    Each feature's values, over the rows that have one; whether it is missing, under its name and "(missing)", over all
    rows; a category by how often its levels have the event, learned on other people; each code by whether it was ever
    recorded. Rows censored before the horizon count as without the event, which only lowers it.
    """
    event = cohort.outcome.event == EVENT
    found: dict[str, float | None] = {}
    for name in (*cohort.clinical_names, *cohort.genomic_names):
        if name not in cohort.frame.names:
            continue
        values = cohort.frame.column(name)
        known = ~np.isnan(values)
        if name in cohort.frame.levels:
            values = event_rates(values, event, persons=cohort.persons, k=len(cohort.frame.levels[name]))
        found[name] = _rank_auc(values[known], event[known])
        found[f"{name} (missing)"] = _rank_auc((~known).astype(np.float32), event)
    return {name: auc for name, auc in {**found, **_code_aucs(cohort, event)}.items() if auc and auc > IMPLAUSIBLE_AUC}


def _code_aucs(cohort: Cohort, event: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Of every code column, as a test that is positive where the code was recorded."""
    codes, (cases, others) = cohort.frame.codes, (int(event.sum()), int((~event).sum()))
    if codes is None or min(cases, others) < MIN_EVENTS:
        return {}
    n = len(cohort.frame.code_names)
    recorded, wrongly = (np.bincount(codes[rows].indices, minlength=n) for rows in (event, ~event))
    aucs = 0.5 + np.abs(recorded / cases - wrongly / others) / 2
    return dict(zip(cohort.frame.code_names, aucs.tolist(), strict=True))


def _rank_auc(values: npt.NDArray[np.float32], event: npt.NDArray[np.bool_]) -> float | None:
    cases, others = int(event.sum()), int((~event).sum())
    if min(cases, others) < MIN_EVENTS:
        return None
    auc = (float(rankdata(values)[event].sum()) - cases * (cases + 1) / 2) / (cases * others)
    return max(auc, 1 - auc)
