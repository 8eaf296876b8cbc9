"""What a MEDS data set says in words alone: drugs by their names, numbers as text."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from features.sources import meds
from features.sources.drugs import BY_NAME
from features.sources.numbers import NUMBER_AS_TEXT

DAY = datetime(2020, 1, 1)  # noqa: DTZ001 (MEDS has no zones)
DESCRIBED = {
    "NDC//00071015523": "Atorvastatin 10 MG Oral Tablet [Lipitor]",
    "NDC//9": "Atorvastatinum novum",
    "ICD10CM//T46.6X1A": "Poisoning by atorvastatin, accidental",
    "RxNorm//36567": "simvastatin",
    "RxNorm//999999991": "simvastatin 20 MG",
}
RIGHT = {
    "NDC//00071015523": ["RxNormByName//83367"],
    "NDC//9": None,  # like a name, and none
    "ICD10CM//T46.6X1A": None,  # no drug that was taken
    "RxNorm//36567": None,  # a number that the lists know
    "RxNorm//999999991": None,  # its parent says it
    "MEDICATION//START//Metformin HCl": ["RxNormByName//6809"],
    "MEDICATION//STOP//Metformin HCl": None,
    "MEDICATION//Metformin//Administered": ["RxNormByName//6809"],
    "MEDICATION//Metformin//Not Given": None,
    "LAB//atorvastatin": None,
}


def _written(folder: Path, rows: list[dict[str, object]], codes: list[dict[str, object]]) -> Path:
    for name, table in (("data/0.parquet", rows), ("metadata/codes.parquet", codes)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(table), folder / name)
    return folder


def test_a_drug_of_unknown_number_is_read_by_its_name(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"subject_id": 1, "time": DAY, "code": code} for code in RIGHT]
    codes: list[dict[str, object]] = [
        {"code": code, "description": words, "parent_codes": ["RxNorm/36567"] if code.endswith("9991") else None}
        for code, words in DESCRIBED.items()
    ]
    report = meds.ingest(_written(tmp_path / "source", rows, codes), tmp_path / "record")
    events = ds.dataset(tmp_path / "record" / "data").to_table().to_pylist()
    assert {row["code"]: row["codings"] for row in events} == RIGHT
    assert report.tables["data"].noted[BY_NAME] == 3
    # What Presage wrote has been read: the record of the record is the same.
    again = meds.ingest(tmp_path / "record", tmp_path / "again")
    assert ds.dataset(tmp_path / "again" / "data").to_table().to_pylist() == events
    assert BY_NAME not in again.tables["data"].noted


def test_numbers_written_as_text_are_read_and_counted(tmp_path: Path) -> None:
    texts = ["7.2", "<4.0", "GT 60", "7,9 %", "high", "120/80", "1,200", "7.2"]
    rows: list[dict[str, object]] = [
        {
            "subject_id": 1,
            "time": DAY.replace(day=n),
            "code": "LOINC//4548-4",
            "numeric_value": None,
            "text_value": text,
        }
        for n, text in enumerate(texts, start=1)
    ]
    rows[-1]["numeric_value"] = 6.0
    rows.append({"subject_id": 1, "time": None, "code": "SITE", "numeric_value": None, "text_value": "7"})
    rows.append({"subject_id": 1, "time": DAY.replace(day=20), "code": "MEDS_DEATH", "text_value": "7"})
    report = meds.ingest(
        _written(tmp_path / "source", rows, [{"code": "SITE", "description": ""}]), tmp_path / "record"
    )
    events = ds.dataset(tmp_path / "record" / "data").to_table().to_pylist()
    events.sort(key=lambda row: str(row["time"]))
    said = [(row["numeric_value"] and round(row["numeric_value"], 3), row["text_value"], row["unit"]) for row in events]
    assert said == [
        (7.2, None, None), (4.0, "<", None), (60.0, ">", None), (7.9, None, "%"), (None, "high", None),
        (None, "120/80", None), (None, "1,200", None), (6.0, "7.2", None), (None, "7", None), (None, "7", None),
    ]  # fmt: skip
    assert report.tables["data"].mended == {NUMBER_AS_TEXT: 4}
