"""What a report and a card say beyond metrics: the data and the code that a model is made of."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np

from training.cohort import CENSORED, COMPETING, EVENT, Cohort
from training.cohort import Suspect as Suspected
from training.disclosure import SMALLEST, suppress
from training.heldout.plan import Plan
from training.result import BlockFeatures, Data, Suspect

ROOMS = ("features", "training")
PACKAGE = Path(__file__).parents[2]
SENSITIVE = {  # HTI-1, 45 CFR 170.315(b)(11)(iv)(A)(5)-(13): what a name of a feature tells of
    "race": ("race",),
    "ethnicity": ("ethnic",),
    "language": ("language",),
    "sexual orientation": ("orientation",),
    "gender identity": ("gender",),
    "sex": ("sex",),
    "date of birth": ("age", "birth"),
    "social determinants of health": ("deprivation", "social", "smoking", "housing", "income"),
    "health status assessments": ("frailty", "phq", "function", "status_assessment"),
}


def data_facts(plan: Plan) -> Data:
    """Digest, span, outcome counts and missing values of the rows that were learned from or tested."""
    cohort, rows = plan.cohort, np.union1d(plan.learned_rows, plan.tested_rows)
    outcome = cohort.outcome.take(rows)
    moments = cohort.as_of[rows][~np.isnat(cohort.as_of[rows])]
    kinds = [int((outcome.event == kind).sum()) for kind in (EVENT, COMPETING, CENSORED)]
    (events, competing, censored), *_ = suppress([kinds]).cells
    names = cohort.clinical_names + cohort.genomic_names
    binary = not outcome.horizons_days
    return Data(
        digest=data_digest(cohort),
        first_index=None if len(moments) == 0 else _day(moments, moments.min()),
        last_index=None if len(moments) == 0 else _day(moments, moments.max()),
        median_followup_days=None if binary else float(f"{np.median(outcome.time_days):.2g}"),
        rows_with_event=events,
        rows_with_competing_event=None if binary else competing,
        rows_without_either=censored,
        features=len(names),
        code_features=len(cohort.frame.code_names),
        blocks=tuple(
            BlockFeatures(name=block.name, genomic=block.genomic, features=block.features) for block in cohort.blocks
        ),
        missing=_missing(cohort, rows, names=names),
        sensitive={said: tuple(n for n in names if _tells(n, words)) for said, words in SENSITIVE.items()},
        left_out=cohort.left_out,
        suspects=None if cohort.suspects is None else tuple(map(_suspect, cohort.suspects)),
    )


def _suspect(found: Suspected) -> Suspect:
    return Suspect(feature=found.feature, words=found.words, reason=found.reason)


def _day(known: np.ndarray[tuple[int], np.dtype[np.datetime64]], moment: np.datetime64) -> str:
    """The day of a moment that at least 11 rows share, such as a landmark; else its month."""
    day = moment.astype("datetime64[D]")
    shared = int((known.astype("datetime64[D]") == day).sum()) >= SMALLEST
    return str(day if shared else day.astype("datetime64[M]"))


def data_digest(cohort: Cohort) -> str:
    """SHA-256 of features, outcome, persons and moments as learned from; no value can be read back from it."""
    found = hashlib.sha256()
    frame = cohort.frame
    for array in (frame.subject_ids, frame.as_of, frame.values, cohort.outcome.time_days, cohort.outcome.event):
        found.update(np.ascontiguousarray(array).tobytes())
    if frame.codes is not None:
        for part in (frame.codes.indptr, frame.codes.indices, frame.codes.data):
            found.update(np.ascontiguousarray(part).tobytes())
    found.update("\n".join((*frame.names, *frame.code_names)).encode())
    return found.hexdigest()


@lru_cache(maxsize=1)
def code_digest() -> str:
    """SHA-256 of the source of the rooms that make a model."""
    found = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            found.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode())
            found.update(path.read_bytes())
    return found.hexdigest()


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit this code is of, marked where it has been changed since; None outside a work tree."""
    git = shutil.which("git")
    if git is None or not (PACKAGE / ".git").exists():
        return None
    asked = [git, "-C", str(PACKAGE)]
    commit = subprocess.run([*asked, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if commit.returncode != 0:
        return None
    changed = subprocess.run([*asked, "status", "--porcelain", "--", *ROOMS], capture_output=True, check=False)
    return commit.stdout.strip() + (" with changes" if changed.stdout.strip() else "")


def _missing(
    cohort: Cohort, rows: np.ndarray[tuple[int], np.dtype[np.int64]], *, names: tuple[str, ...]
) -> dict[str, float]:
    """Share of rows without a value, of the features that lack one; not where it would be a count of 1 to 10."""
    dense = [name for name in names if name in cohort.frame.names]
    missing = np.isnan(cohort.frame.only(tuple(dense)).values[rows]).sum(axis=0)
    few = np.minimum(missing, len(rows) - missing)
    return {
        name: round(int(count) / len(rows), 3)
        for name, count, least in zip(dense, missing, few, strict=True)
        if count and (least == 0 or least >= SMALLEST)
    }


def _tells(name: str, words: tuple[str, ...]) -> bool:
    parts = name.lower().split("_")
    return any(word in parts or (len(word) > 4 and word in name.lower()) for word in words)
