"""Every code of the published map counts for its category; the index adds the weights."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.build import build
from features.catalogue import catalogue
from features.codes.comorbidity import CHARLSON, ELIXHAUSER, charlson_index
from features.frame import FeatureFrame
from features.index import Index
from features.record.record import Record
from features.record.schema import EVENTS

YESTERDAY = datetime(2019, 12, 31)  # noqa: DTZ001 - times in a record carry no zone


def of_codes(codes: list[str]) -> FeatureFrame:
    """The comorbidity of people who have one code each."""
    rows = [
        {"subject_id": subject, "time": YESTERDAY, "code": code, "available_time": YESTERDAY}
        for subject, code in enumerate(codes)
    ]
    events = pa.Table.from_pylist(rows, schema=EVENTS)
    return build(
        Index.at(np.arange(len(codes)), "2020-01-01"), Record.in_memory(events), catalogue=catalogue(["comorbidity"])
    )


def written(code: str, vocabulary: str) -> str:
    """A code of the map as records write it: with its dot."""
    digits = 4 if vocabulary == "ICD9CM" and code.startswith("E") else 3
    return f"{vocabulary}//{code[:digits]}" + (f".{code[digits:]}" if len(code) > digits else "")


@pytest.mark.realdata
@pytest.mark.parametrize(("index", "version"), [(i, v) for i in ("charlson", "elixhauser") for v in ("icd9", "icd10")])
def test_every_mapped_code_counts_for_its_category_and_for_what_else_the_map_says(
    real_data: Path, index: str, version: str
) -> None:
    mapping = json.loads((real_data / "equations" / "charlson_elixhauser_mapping.json").read_text())["mapping"]
    categories: dict[str, list[str]] = mapping[f"{index}_{version}_quan"]
    assert set(categories) == set(CHARLSON if index == "charlson" else ELIXHAUSER)
    codes = [code for listed in categories.values() for code in listed]
    frame = of_codes([written(code, "ICD9CM" if version == "icd9" else "ICD10CM") for code in codes])
    for category, prefixes in categories.items():
        expected = [float(code.startswith(tuple(prefixes))) for code in codes]
        assert frame.column(f"{index}_{category}").tolist() == expected, category


def test_an_unknown_code_changes_nothing() -> None:
    frame = of_codes(["ICD10CM//Z99.9", "X//I21", "ICD10CM//", "I21.9", "SNOMED//404684003", "CTV3//xxxxx"])
    assert not frame.values.any()


def test_the_charlson_index_ranges_from_0_to_29_and_the_graver_form_outranks_the_milder() -> None:
    everything = {category: np.ones(1) for category in CHARLSON}
    nothing = {category: np.zeros(1) for category in CHARLSON}
    assert charlson_index(everything)[0] == 29  # 33 points of all 17 categories less 1 + 1 + 2 that are outranked
    assert charlson_index(nothing)[0] == 0
    assert charlson_index(nothing | {"canc": np.ones(1), "metacanc": np.ones(1)})[0] == 6


def test_the_index_is_built_from_the_record() -> None:
    rows = [
        {"subject_id": 1, "time": YESTERDAY, "code": code, "available_time": YESTERDAY}
        for code in ("ICD10CM//I21.4", "ICD10CM//E11.22", "ICD10CM//E11.9", "ICD9CM//428.0", "ICD10CM//C78.7")
    ]
    record = Record.in_memory(pa.Table.from_pylist(rows, schema=EVENTS))
    frame = build(Index.at([1], "2020-01-01"), record, catalogue=catalogue(["comorbidity"]))
    assert frame.column("charlson_index").tolist() == [1 + 2 + 1 + 6]
