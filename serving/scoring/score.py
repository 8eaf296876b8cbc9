"""Scoring: everybody enrolled on a day, or one person, becomes a receipt that can be recomputed (contract 7)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend
from rich.console import Console, ConsoleOptions, RenderResult

from features.build import build
from features.errors import PresageError
from features.frame import FeatureFrame
from features.index import Index
from features.progress import Progress, silent
from features.record import TIME, Record
from features.shown import Shown
from features.writing import whole_files
from serving.scoring.champions import Champion, load_champion
from serving.scoring.eligible import Eligible, eligible
from serving.store import Receipt
from training.cohort import risk_column
from training.disclosure import SMALLEST

if TYPE_CHECKING:
    import pandas as pd

ENROLLED = "name a day of the record's observation periods, which say who is enrolled when"
SCORES = pa.schema(
    [
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("as_of", TIME, nullable=False),
        pa.field("study", pa.string(), nullable=False),
        pa.field("model", pa.string()),  # clinical or combined; null where there is no score
        pa.field("model_reason", pa.string()),  # why the clinical model and not the combined
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("bundle_digest", pa.string(), nullable=False),
        pa.field("catalogue_hash", pa.string(), nullable=False),
        pa.field("feature_hash", pa.string()),  # of this row's features; null where none were computed
        pa.field("horizons_days", pa.list_(pa.float64()), nullable=False),  # [null]: a binary outcome
        pa.field("risks", pa.list_(pa.float64())),
        pa.field("not_scored", pa.string()),  # the reason; null where there is a score
    ]
)


@dataclass(frozen=True, slots=True, repr=False)
class Scores(Shown):
    """The receipts of one model on one day, and the digest of the file they were read from."""

    model: str
    as_of: datetime
    receipts: tuple[Receipt, ...]
    digest: str = ""

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Scores:
        """The scores of a file that `write` or `presage score` wrote."""
        return read_scores(Path(path))

    def __len__(self) -> int:
        return len(self.receipts)

    def to_pandas(self) -> pd.DataFrame:
        """A row for each receipt, in order of subject_id, with a column of risk for each horizon.

        Whoever is not scored has no risk, and the reason in `not_scored`.
        """
        import pandas as pd

        horizons = self.receipts[0].horizons_days if self.receipts else ()
        risks = {
            risk_column(days): [receipt.risks[i] if receipt.risks else np.nan for receipt in self.receipts]
            for i, days in enumerate(horizons)
        }
        told = ("model", "model_reason", "not_scored", "model_version", "bundle_digest", "feature_hash")
        columns = {name: [getattr(receipt, name) or None for receipt in self.receipts] for name in told}
        people = {
            "subject_id": np.array([receipt.subject_id for receipt in self.receipts], dtype=np.int64),
            "as_of": np.array([receipt.as_of for receipt in self.receipts], dtype="datetime64[us]"),
        }
        return pd.DataFrame({**people, **risks, **columns})

    def write(self, out: Path) -> None:
        """The file that `presage flag` reads, whole or not at all."""
        write_scores(out, self.receipts, model=self.model, as_of=self.as_of)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """How many were scored, by which model, and why others were not; no count of 1 to 10, nor what tells one."""
        scored = [receipt for receipt in self.receipts if receipt.not_scored is None]
        combined = sum(receipt.model == "combined" for receipt in scored)
        parted = not 0 < len(scored) - combined < SMALLEST  # else the total would tell how many have no genomics
        counts = f"{_few(len(scored))} people scored ({_few(combined, known=parted)} with genomics)"
        yield f"{self.model}, as of {moment(self.as_of)}: {counts}"
        reasons: dict[str, int] = {}
        for receipt in self.receipts:
            if receipt.not_scored is not None:
                reasons[receipt.not_scored] = reasons.get(receipt.not_scored, 0) + 1
        for reason, people in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
            yield f"  not scored: {_few(people)} {reason}"


def _few(people: int, *, known: bool = True) -> str:
    """A count as it may be shown to anybody."""
    if 0 < people < SMALLEST:
        return "1–10"
    return f"{people:,}" if known or not people else "some"


def score(
    model: str, *, record_dir: Path, as_of: datetime, out: Path | None = None, progress: Progress = silent
) -> Scores:
    """Score everybody enrolled at `as_of`; where `out` is named, the receipts are written to it as well.

    Raises PresageError where nobody is enrolled then.
    """
    if out is not None and (out.is_dir() or out.suffix != ".parquet"):
        raise PresageError("--out", "the name of a file that ends in .parquet", way_out="write --out scores.parquet")
    with progress(f"loading {model}"):
        champion = load_champion(model)
    receipts = score_record(champion, Record.open(record_dir), as_of=as_of, progress=progress)
    if not receipts:
        raise PresageError(
            "--as-of", "a moment at which somebody is enrolled", found=f"nobody at {moment(as_of)}", way_out=ENROLLED
        )
    scores = Scores(model, as_of, tuple(receipts))
    if out is not None:
        with progress("writing the receipts"):
            scores.write(out)
    return scores


def score_record(champion: Champion, record: Record, *, as_of: datetime, progress: Progress = silent) -> list[Receipt]:
    """One receipt for each person of the record who is enrolled and alive, in order of subject_id."""
    backend: Backend = _backend()
    with progress("looking for the studied population"):
        people = eligible(champion.bundle, record, backend=backend, as_of=as_of)
    inside = np.flatnonzero(people.outside == "")
    frame = frame_of(
        champion, record, subject_ids=people.subject_ids[inside], as_of=people.as_of[inside], progress=progress
    )
    return receipts_of(champion, people, inside=inside, frame=frame)


def frame_of(
    champion: Champion,
    record: Record,
    *,
    subject_ids: npt.NDArray[np.int64],
    as_of: npt.NDArray[np.datetime64],
    progress: Progress = silent,
) -> FeatureFrame:
    """The features of these people at these moments, by the catalogue in the bundle.

    A record whose maker has not declared what it can tell is read as the one that the bundle was learned on.
    """
    if record.declared is None:
        record = replace(record, declared=champion.bundle.tells)
    return build(Index(subject_ids, as_of), record, catalogue=champion.catalogue, progress=progress)


def receipts_of(
    champion: Champion, people: Eligible, *, inside: npt.NDArray[np.intp], frame: FeatureFrame
) -> list[Receipt]:
    """The receipts of everybody: those who are scored from the frame's rows, the others with the reason."""
    answer = champion.bundle.risk(frame)
    hashes = feature_hashes(frame)
    rows = {int(row): at for at, row in enumerate(inside)}
    receipts = []
    for row, subject_id in enumerate(people.subject_ids):
        at = rows.get(row)
        not_scored = str(people.outside[row]) if at is None else str(answer.not_scored[at])
        receipts.append(
            Receipt(
                subject_id=int(subject_id),
                as_of=people.as_of[row].astype("datetime64[us]").item(),
                study=champion.bundle.name,
                model="" if at is None else str(answer.model[at]),
                model_reason="" if at is None else str(answer.reason[at]),
                model_version=champion.version,
                bundle_digest=champion.bundle.digest,
                catalogue_hash=champion.bundle.catalogue_hash,
                feature_hash="" if at is None else hashes[at],
                horizons_days=champion.horizons_days,
                risks=() if at is None or not_scored else tuple(float(risk) for risk in answer.risk[at]),
                not_scored=not_scored or None,
            )
        )
    return receipts


def feature_hashes(frame: FeatureFrame) -> list[str]:
    """The feature hash of each row: SHA-256 of names, levels, float32 values with one kind of NaN, and
    counts of codes.
    """
    columns = json.dumps([frame.names, {name: frame.levels[name] for name in sorted(frame.levels)}, frame.code_names])
    start = hashlib.sha256(columns.encode())
    values = np.where(np.isnan(frame.values), np.float32(np.nan), frame.values + np.float32(0.0)).astype("<f4")
    hashes = []
    for row in range(len(frame)):
        digest = start.copy()
        digest.update(values[row].tobytes())
        if frame.codes is not None:
            counts = frame.codes[row]
            counts.sort_indices()
            digest.update(counts.indices.astype("<i4").tobytes())
            digest.update(counts.data.astype("<f4").tobytes())
        hashes.append(digest.hexdigest())
    return hashes


def write_scores(out: Path, receipts: Sequence[Receipt], *, model: str, as_of: datetime) -> None:
    """Write a file of receipts, whole or not at all."""
    names = SCORES.names
    columns = {name: [getattr(receipt, name) for receipt in receipts] for name in names}
    for name in ("model", "model_reason", "feature_hash"):
        columns[name] = [value or None for value in columns[name]]
    columns["risks"] = [list(risks) or None for risks in columns["risks"]]
    about = json.dumps({"model": model, "as_of": as_of.isoformat()}, sort_keys=True)
    table = pa.table(columns, schema=SCORES).replace_schema_metadata({"presage": about})
    with whole_files(out) as (scratch,):
        pq.write_table(table, scratch, compression="zstd")


def moment(as_of: datetime) -> str:
    """A moment in words: the day, with its time where it has one."""
    day = as_of.date().isoformat()
    return day if as_of == datetime.combine(as_of.date(), time.min) else f"{day} {as_of:%H:%M:%S}"


def read_scores(path: Path) -> Scores:
    """Read a file that `presage score` wrote. Raises PresageError for any other."""
    way_out = "write it with: presage score MODEL --record DIR --as-of DATE --out scores.parquet"
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        raise PresageError(
            str(path), "a Parquet file of receipts", found="no whole Parquet file", way_out=way_out
        ) from None
    about = (table.schema.metadata or {}).get(b"presage")
    if about is None or table.schema.names != SCORES.names:
        raise PresageError(str(path), "a file of receipts", found="other columns, or no stamp", way_out=way_out)
    try:
        stamp = json.loads(about)
        model, as_of = str(stamp["model"]), datetime.fromisoformat(stamp["as_of"])
        table = table.cast(SCORES)
    except (ValueError, KeyError, TypeError):
        raise PresageError(
            str(path), "a file of receipts", found="other types, or another stamp", way_out=way_out
        ) from None
    receipts = tuple(
        Receipt(
            **row
            | {name: row[name] or "" for name in ("model", "model_reason", "feature_hash")}
            | {"horizons_days": tuple(row["horizons_days"]), "risks": tuple(row["risks"] or ())}
        )
        for row in table.to_pylist()
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Scores(model, as_of, receipts, digest)


def _backend() -> Backend:
    import ibis

    backend: Backend = ibis.duckdb.connect()
    return backend
