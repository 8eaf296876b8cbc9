"""Genomic results as features: not tested and tested negative differ; the newest known result counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.build import build
from features.catalogue import catalogue
from features.frame import FeatureFrame
from features.index import Index
from features.record.record import Record
from features.record.schema import COVERAGE, EVENTS, FINDINGS, POLYGENIC

FEATURES = catalogue(["monogenic"], polygenic=["S"])


def day(text: str) -> datetime:
    return datetime.fromisoformat(text)


def score(subject: int, z: float | None, available: str | None, weight: float = 0.9) -> dict[str, Any]:
    when = None if available is None else day(available)
    return {"subject_id": subject, "score_id": "S", "z": z, "matched_weight": weight, "available_time": when}


def looked(subject: int, gene: str, result: str, available: str = "2019-01-01") -> dict[str, Any]:
    return {"subject_id": subject, "gene_symbol": gene, "result": result, "available_time": day(available)}


def found(subject: int, gene: str, word: str, available: str = "2019-01-01") -> dict[str, Any]:
    return {"subject_id": subject, "gene_symbol": gene, "variant": "c.1A>G", "classification": word,
            "available_time": day(available)}  # fmt: skip


def of(
    subjects: list[int],
    as_of: str,
    *,
    scores: list[dict[str, Any]] | None = None,
    findings: list[dict[str, Any]] | None = None,
    coverage: list[dict[str, Any]] | None = None,
) -> FeatureFrame:
    record = Record.in_memory(
        pa.Table.from_pylist([], schema=EVENTS),
        polygenic=pa.Table.from_pylist(
            [{"score_id": "other", "subject_id": 1, "z": 9.0}, *(scores or [])], schema=POLYGENIC
        ),
        findings=pa.Table.from_pylist(findings or [], schema=FINDINGS),
        coverage=pa.Table.from_pylist(coverage or [], schema=COVERAGE),
    )
    return build(Index.at(subjects, as_of), record, catalogue=FEATURES)


def test_the_newest_score_known_strictly_before_the_moment_counts() -> None:
    scores = [score(1, 1.0, None), score(1, 2.0, "2020-01-01"), score(2, 3.0, "2020-01-01"), score(3, None, None, 0.4)]
    before = of([1, 2, 3, 4], "2020-01-01", scores=scores)
    after = of([4, 3, 2, 1], "2020-01-02", scores=scores)
    assert before.column("prs_S_z").tolist() == pytest.approx([1.0, np.nan, np.nan, np.nan], nan_ok=True)
    assert before.column("prs_S_tested").tolist() == [1, 0, 0, 0]
    assert before.column("prs_S_matched_weight").tolist() == pytest.approx([0.9, np.nan, 0.4, np.nan], nan_ok=True)
    assert after.column("prs_S_z").tolist() == pytest.approx([np.nan, np.nan, 3.0, 2.0], nan_ok=True)


def test_carrier_negative_partly_tested_and_not_tested_are_four_things() -> None:
    genes = ("BRCA1", "BRCA2")
    coverage = [looked(2, gene, "negative") for gene in genes] + [looked(3, "BRCA1", "negative")]
    coverage += [looked(5, "BRCA1", "negative"), looked(5, "BRCA2", "inconclusive")]
    frame = of([1, 2, 3, 4, 5], "2020-01-01", findings=[found(1, "BRCA1", "likely pathogenic")], coverage=coverage)
    carrier = frame.column("carrier_hereditary_breast_ovarian_cancer").tolist()
    assert carrier == pytest.approx([1, 0, np.nan, np.nan, np.nan], nan_ok=True)
    assert frame.column("tested_hereditary_breast_ovarian_cancer").tolist() == [1, 1, 0, 0, 0]
    assert np.isnan(frame.column("carrier_lynch_syndrome")).all()


def test_a_reclassified_variant_counts_as_it_was_known_at_the_moment() -> None:
    genes = ("LDLR", "APOB", "PCSK9")
    findings = [found(1, "LDLR", "pathogenic"), found(1, "LDLR", "likely benign", available="2021-01-01")]
    coverage = [looked(1, gene, "negative") for gene in genes]
    for as_of, carrier in (("2018-01-01", np.nan), ("2020-01-01", 1.0), ("2022-01-01", 0.0)):
        frame = of([1], as_of, findings=findings, coverage=coverage)
        assert frame.column("carrier_familial_hypercholesterolaemia")[0] == pytest.approx(carrier, nan_ok=True)
