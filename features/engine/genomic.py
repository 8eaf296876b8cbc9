"""Genomic features: of each score the newest result known before the moment; carriers by classification and coverage.

The genomic tables are small beside the events (a row for a person and score), so they are read once for the people of
the index and judged row by row with NumPy, after the same rule of availability.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.arrays import Floats, Moments
from features.catalogue.spec import FeatureSpec
from features.index import Index

ALWAYS = np.datetime64("1800-01-01", "us")
POSITIVE = frozenset({"pathogenic", "likely pathogenic"})
INCONCLUSIVE = "inconclusive"
Columns = Mapping[str, pa.Table]


def fill(out: npt.NDArray[np.float32], specs: tuple[FeatureSpec, ...], *, index: Index, tables: Columns) -> None:
    """Write the genomic features into their columns of `out` (n, p), in place."""
    rows: dict[tuple[str, ...], dict[str, Floats]] = {}
    for column, spec in enumerate(specs):
        if spec.aggregate.startswith("polygenic_"):
            key = ("polygenic", *spec.codes)
            if key not in rows:
                rows[key] = _polygenic(spec.codes[0], index, table=tables["polygenic"])
        elif spec.aggregate in {"carrier", "tested"}:
            key = ("genes", *spec.codes)
            if key not in rows:
                rows[key] = _genes(spec.codes, index, findings=tables["findings"], coverage=tables["coverage"])
        else:
            continue
        out[:, column] = rows[key][spec.aggregate]


def _moments(column: pa.ChunkedArray) -> Moments:
    filled = np.asarray(column.to_numpy()).astype("datetime64[us]")
    return np.where(np.isnat(filled), ALWAYS, filled)


def _polygenic(score: str, index: Index, *, table: pa.Table) -> dict[str, Floats]:
    """The newest result that was available; of several then, the one with the largest z."""
    mine = table.filter(pc.equal(table["score_id"], score))
    z = np.asarray(mine["z"].to_numpy(), dtype=np.float64)
    weight = np.asarray(mine["matched_weight"].to_numpy(), dtype=np.float64)
    available, subjects = _moments(mine["available_time"]), mine["subject_id"].to_numpy()
    order = np.lexsort((np.nan_to_num(z, nan=-np.inf), available, subjects))
    newest = _last_before(subjects[order], available[order], index=index)
    z, weight = _at(z[order], newest), _at(weight[order], newest)
    return {
        "polygenic_z": z,
        "polygenic_tested": np.isfinite(z).astype(np.float64),
        "polygenic_matched_weight": weight,
    }


def _at(values: Floats, position: npt.NDArray[np.int64]) -> Floats:
    return np.append(values, np.nan)[position]


def _last_before(subjects: npt.NDArray[np.int64], available: Moments, *, index: Index) -> npt.NDArray[np.int64]:
    """(n,) position of the subject's last row available strictly before the moment; -1 where there is none."""
    n = len(subjects)
    subject = np.concatenate([subjects, index.subject_ids])
    moment = np.concatenate([available, index.as_of])
    asked = np.arange(len(subject)) >= n
    order = np.lexsort((~asked, moment, subject))  # at one moment the question stands before the answer
    latest = np.maximum.accumulate(np.where(asked[order], -1, np.arange(len(order))))
    position = np.where(latest >= 0, order[np.maximum(latest, 0)], -1)
    position = np.where((position >= 0) & (subject[position] == subject[order]), position, -1)
    answer = np.full(len(subject), -1, dtype=np.int64)
    answer[order] = position
    return answer[n:]


def _genes(genes: tuple[str, ...], index: Index, *, findings: pa.Table, coverage: pa.Table) -> dict[str, Floats]:
    """A carrier by the newest classification of any of a person's variants; negative where every gene was looked at."""
    reported = _by_subject(findings, genes, names=("variant", "classification"))
    looked = _by_subject(coverage, genes, names=("gene_symbol", "result"))
    carrier = np.full(len(index), np.nan)
    tested = np.zeros(len(index))
    for row, (subject, as_of) in enumerate(zip(index.subject_ids.tolist(), index.as_of, strict=True)):
        covered = {gene for when, gene, result in looked.get(subject, ()) if when < as_of and result != INCONCLUSIVE}
        newest = {variant: word for when, variant, word in reported.get(subject, ()) if when < as_of}
        carries = any(word in POSITIVE for word in newest.values())
        tested[row] = float(carries or covered >= set(genes))
        carrier[row] = 1.0 if carries else 0.0 if covered >= set(genes) else np.nan
    return {"carrier": carrier, "tested": tested}


def _by_subject(
    table: pa.Table, genes: tuple[str, ...], *, names: tuple[str, str]
) -> dict[int, list[tuple[np.datetime64, str, str]]]:
    """subject -> (available, and two columns), oldest first."""
    mine = table.filter(pc.is_in(table["gene_symbol"], value_set=pa.array(genes, pa.string())))
    by_subject: dict[int, list[tuple[np.datetime64, str, str]]] = {}
    first, second = (mine[name].to_pylist() for name in names)
    for subject, when, first_value, second_value in sorted(
        zip(mine["subject_id"].to_pylist(), _moments(mine["available_time"]), first, second, strict=True),
        key=lambda row: (row[0], row[1], row[2] or "", row[3] or ""),
    ):
        by_subject.setdefault(subject, []).append((when, first_value or "", second_value or ""))
    return by_subject
