"""Genotypes into the record: genomic/polygenic.parquet, by person, with the day the sample was known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.prs import run_with_rows
from features.polygenic.results import alleles, matched_weight, reasons, report_json, spread
from features.polygenic.run import ScoredSamples, Settings
from features.progress import Progress, silent
from features.record import POLYGENIC, TIME, identity
from features.sources import IngestReport
from features.writing import whole_files

SOURCE = "genotypes"
_REJECTS = pa.schema([pa.field("row", pa.string()), pa.field("reason", pa.string())])
_SUFFIXES = (".pgen", ".bed", ".vcf.gz", ".vcf", ".bcf")
_SAMPLES = "a table of sample_id, person_id and, where it is known, collected (YYYY-MM-DD)"


@dataclass(frozen=True, slots=True)
class _People:
    """Per sample of the genotypes: its subject (-1: none), when it was known, and why it is set aside."""

    subject: NDArray[np.int64]
    available: NDArray[np.datetime64]
    rejected: tuple[str | None, ...]


def ingest(
    genotypes: Path,
    record_dir: Path,
    *,
    scores: Sequence[Path],
    now: datetime,
    samples: Path | None = None,
    collected: date | None = None,
    reference_frequencies: Path | None = None,
    ancestry: Path | None = None,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> IngestReport:
    """Score the samples of a genotype file, and replace what the record has of these scores for these people.

    `samples`: a table of sample_id, person_id and collected; by default samples.csv beside the genotypes; without one a
    sample's id is its person's. A result is available from the end of the day its sample was collected, by that table
    or for all others by `collected`; without either it is available from `now`, and at no moment before: somebody has
    lived to be genotyped, so to count their earlier years as a genotyped person's would be immortal time. Samples of
    people unknown to the record are counted as rejected. Raises PresageError for a record without people and for
    whatever `presage prs` refuses.
    """
    genotypes = _genotype_file(genotypes)
    beside = genotypes.parent / "samples.csv"
    samples = samples if samples is not None or not beside.exists() else beside
    known = _known_people(record_dir)
    if not known:
        raise PresageError(
            str(record_dir),
            "a record with people in it",
            found="nobody",
            way_out="first make one: presage ingest omop|fhir|meds SRC",
        )
    names = ["genomic/polygenic.parquet", "genomic/polygenic.report.json", "genomic/polygenic.variants.parquet"]
    names += [f"rejects/{SOURCE}/samples.parquet", "ingest_report.json"]
    with whole_files(*(record_dir / name for name in names), scratch_in=record_dir) as parts:
        table_part, told_part, rows_part, rejects_part, report_part = parts
        scored = run_with_rows(
            genotypes,
            scores,
            rows=rows_part,
            settings=settings or Settings(),
            reference_frequencies=reference_frequencies,
            ancestry=ancestry,
            progress=progress,
        )
        undated = np.datetime64(now, "us") if collected is None else _end_of_day(np.datetime64(collected))
        people = _people(scored.sample_ids, samples, known=known, undated=undated)
        fresh = _rows(scored, people)
        pq.write_table(_merged(record_dir, fresh), table_part, compression="zstd")
        told_part.write_text(json.dumps(report_json(scored), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        pq.write_table(_rejects(scored, people), rejects_part)
        report = _report(scored, people, fresh=fresh)
        report_part.write_text(json.dumps(_reports(record_dir, report), indent=2) + "\n", encoding="utf-8")
    return report


def _genotype_file(source: Path) -> Path:
    """The genotype file itself, or the one genotype file in a folder."""
    if not source.is_dir():
        return source
    files = sorted(path for path in source.iterdir() if path.name.endswith(_SUFFIXES))
    if len(files) != 1:
        raise PresageError(str(source), "one genotype file", found=str(len(files)), way_out="name the file")
    return files[0]


def _known_people(record_dir: Path) -> dict[str, set[int]]:
    """The subjects of every source id: more than one where two sources use one id for two people."""
    table = identity.read(record_dir)
    known: dict[str, set[int]] = {}
    for source_id, subject in zip(table["source_id"].to_pylist(), table["subject_id"].to_pylist(), strict=True):
        known.setdefault(source_id, set()).add(subject)
    return known


def _people(
    sample_ids: Sequence[str], samples: Path | None, *, known: dict[str, set[int]], undated: np.datetime64
) -> _People:
    links = {sample: (sample, None) for sample in sample_ids} if samples is None else _read_samples(samples)
    n = len(sample_ids)
    subject, available = np.full(n, -1, np.int64), np.full(n, np.datetime64("NaT"), "datetime64[us]")
    rejected: list[str | None] = []
    taken: set[int] = set()
    for number, sample in enumerate(sample_ids):
        person, collected = links.get(sample, (None, None))
        subjects = known.get(person, set()) if person is not None else set()
        reason = _rejection(person, subjects, taken=taken)
        if reason is None:
            subject[number] = next(iter(subjects))
            available[number] = undated if collected is None else _end_of_day(collected)
            taken |= subjects
        rejected.append(reason)
    return _People(subject, available, tuple(rejected))


def _rejection(person: str | None, subjects: set[int], *, taken: set[int]) -> str | None:
    if person is None:
        return "sample not in samples.csv"
    if not subjects:
        return "unknown person"
    if len(subjects) > 1:
        return "id that stands for two people"
    return "another sample of this person came first" if subjects <= taken else None


def _end_of_day(collected: np.datetime64) -> np.datetime64:
    """A date without clock time was known by the end of that day."""
    end: np.datetime64 = collected.astype("datetime64[us]") + np.timedelta64(1, "D") - np.timedelta64(1, "us")
    return end


def _read_samples(path: Path) -> dict[str, tuple[str, np.datetime64 | None]]:
    """Person and collection date of every sample."""
    types = {"sample_id": pa.string(), "person_id": pa.string(), "collected": pa.date32()}
    try:
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(column_types=types))
    except FileNotFoundError as error:
        raise PresageError(str(path), _SAMPLES, found="no such file") from error
    except pa.ArrowInvalid as error:
        raise PresageError(str(path), _SAMPLES, found="a row that does not fit", way_out="mend the row") from error
    for name in ("sample_id", "person_id"):
        if name not in table.column_names:
            raise PresageError(f"{path}, line 1", _SAMPLES, found=f"no column {name}")
    samples = table["sample_id"].to_pylist()
    if len(set(samples)) < len(samples):
        raise PresageError(
            f"{path}, column sample_id",
            "every sample once",
            found="one that is there twice",
            way_out="link every sample once",
        )
    dates = table["collected"].to_pylist() if "collected" in table.column_names else [None] * len(samples)
    days = [None if day is None else np.datetime64(day) for day in dates]
    return dict(zip(samples, zip(table["person_id"].to_pylist(), days, strict=True), strict=True))


def _rows(scored: ScoredSamples, people: _People) -> pa.Table:
    """Rows of POLYGENIC for the known people, by subject, then by score."""
    rows = np.flatnonzero(people.subject >= 0)
    n, k = len(rows), len(scored.scores)
    counts = alleles(scored)[rows].ravel()
    columns = {
        "subject_id": pa.array(np.repeat(people.subject[rows], k)),
        "score_id": pa.array([score.header.score_id for score in scored.scores] * n, pa.string()),
        "sum": _values(spread(scored, scored.sums.sums)[rows]),
        "matched_weight": pa.array([matched_weight(score) for score in scored.scores] * n, pa.float64()),
        "n_alleles": pa.array(counts, mask=counts < 0),
        "not_scored": pa.array(reasons(scored)[rows].ravel().tolist(), pa.string()),
        "available_time": pa.array(np.repeat(people.available[rows], k), TIME),
    }
    table = pa.table(columns | _adjusted(scored, rows))
    return (
        table.select(POLYGENIC.names).cast(POLYGENIC).sort_by([("subject_id", "ascending"), ("score_id", "ascending")])
    )


def _adjusted(scored: ScoredSamples, rows: NDArray[np.intp]) -> dict[str, pa.Array]:
    n, k = len(rows), len(scored.scores)
    adjusted = scored.adjusted
    if adjusted is None:
        empty = pa.nulls(n * k, pa.float64())
        text = pa.nulls(n * k, pa.string())
        return {
            "z": empty,
            "percentile": empty,
            "ancestry_group": text,
            "ancestry_probability": empty,
            "reference": text,
        }
    place = adjusted.placement
    group = [name or None for name in np.repeat(place.group[rows], k).tolist()] if place else [None] * (n * k)
    probability = np.repeat(place.probability[rows], k) if place else np.full(n * k, np.nan)
    return {
        "z": _values(spread(scored, adjusted.z_norm2)[rows]),
        "percentile": _values(spread(scored, adjusted.percentile)[rows]),
        "ancestry_group": pa.array(group, pa.string()),
        "ancestry_probability": pa.array(probability, from_pandas=True),
        "reference": pa.array([adjusted.model.label] * (n * k), pa.string()),
    }


def _values(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values.ravel(), from_pandas=True)


def _merged(record_dir: Path, fresh: pa.Table) -> pa.Table:
    """What the record has of other people and other scores, and the fresh rows."""
    path = record_dir / "genomic" / "polygenic.parquet"
    if not path.exists():
        return fresh
    stored = pq.read_table(path, schema=POLYGENIC)
    keys = ["subject_id", "score_id"]
    others = stored.join(fresh.select(keys), keys, join_type="left anti", use_threads=False)
    merged = pa.concat_tables([others.select(POLYGENIC.names).cast(POLYGENIC), fresh])
    return merged.sort_by([(key, "ascending") for key in keys])


def _rejects(scored: ScoredSamples, people: _People) -> pa.Table:
    kept = [(sample, why) for sample, why in zip(scored.sample_ids, people.rejected, strict=True) if why]
    return pa.table({"row": [sample for sample, _ in kept], "reason": [why for _, why in kept]}, schema=_REJECTS)


def _report(scored: ScoredSamples, people: _People, *, fresh: pa.Table) -> IngestReport:
    report = IngestReport(SOURCE)
    report.people = int((people.subject >= 0).sum())
    report.events = fresh.num_rows
    table = report.table("samples")
    table.rows, table.events = len(scored.sample_ids), fresh.num_rows
    for why in people.rejected:
        if why:
            table.rejected[why] += 1
    for score in scored.scores:
        if score.not_scored:
            table.noted[f"{score.header.score_id} not scored: {score.not_scored}"] += 1
    beyond = int(scored.adjusted.beyond.sum()) if scored.adjusted is not None else 0
    if beyond:
        table.noted["beyond the ancestry reference: adjusted scores withheld"] += beyond
    return report


def _reports(record_dir: Path, report: IngestReport) -> dict[str, object]:
    path = record_dir / "ingest_report.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    return dict(sorted({**told, SOURCE: report.as_json()}.items()))
