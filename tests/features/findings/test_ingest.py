from __future__ import annotations

import csv
import itertools
import json
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import PresageError
from features.findings.actionable import actionable
from features.findings.ingest import ingest
from features.findings.laboratory_csv import COLUMNS
from features.record.schema import COVERAGE, FINDINGS, IDENTITY
from features.sources.report import IngestReport
from tests.features.findings.test_genomics_reporting import GERMLINE, a_bundle


def record_of(folder: Path, *people: tuple[int, str, str]) -> Path:
    """A record that knows these people: (subject, source, source id)."""
    rows = [{"subject_id": s, "source": source, "source_id": i} for s, source, i in people]
    (folder / "identity").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=IDENTITY), folder / "identity/subjects.parquet")
    return folder


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return record_of(tmp_path / "record", (11, "omop", "1"), (12, "omop", "2"), (13, "omop", "3"))


def row(text: str, **more: str) -> dict[str, str]:
    """`accession mrn reported status gene result hgvs class`, the last two absent for a negative row."""
    accession, mrn, reported, status, gene, result, *found = text.split()
    given = dict(zip(COLUMNS, [accession, mrn, reported, reported, status, "Lab", gene, result], strict=False))
    if found:
        given |= {"hgvs": found[0], "class": " ".join(found[1:]), "zygosity": "HET",
                  "condition": "Familial hypercholesterolemia"}  # fmt: skip
    given["result"] = {"POS": "DETECTED", "NEG": "NOT DETECTED", "INC": "INCONCLUSIVE"}.get(result, result)
    return {name: given.get(name, "") for name in COLUMNS} | more


def write(path: Path, *rows: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def findings(record: Path) -> list[tuple[int, str, str, str]]:
    table = pq.read_table(record / "genomic/findings.parquet")
    assert table.schema == FINDINGS
    return [(r["subject_id"], r["gene_symbol"], r["classification"], r["status"]) for r in table.to_pylist()]


def coverage(record: Path) -> list[tuple[int, str, str]]:
    table = pq.read_table(record / "genomic/coverage.parquet")
    assert table.schema == COVERAGE
    return [(r["subject_id"], r["gene_symbol"], r["result"]) for r in table.to_pylist()]


def reasons(report: IngestReport) -> dict[str, int]:
    return dict(report.table("reports").rejected)


VARIANT = "NM_000527.5:c.97C>T"


def test_tested_negative_and_not_tested_stay_two_things(record: Path, tmp_path: Path) -> None:
    ingest(
        write(
            tmp_path / "lab.csv",
            # accession mrn reported   status gene result variant  class
            row(f"A1 1 2012-05-01 F LDLR POS {VARIANT} Class 5"),
            row("A1 1 2012-05-01 F APOB NEG", limitation="Exon 26 only."),
            row("A2 2 2012-05-01 F LDLR NEG"),
        ),
        record,
    )
    assert findings(record) == [(11, "LDLR", "pathogenic", "final")]
    # person 1: positive in one gene and negative in the other; 2: negative in LDLR, APOB not tested; 3: not tested
    assert coverage(record) == [(11, "APOB", "negative"), (11, "LDLR", "positive"), (12, "LDLR", "negative")]
    table = pd.read_parquet(record / "genomic/findings.parquet").iloc[0]
    assert (table["gene_hgnc"], table["condition_mondo"], table["zygosity"]) == (
        "HGNC:6547", "MONDO:0007750", "heterozygous",
    )  # fmt: skip
    assert table["available_time"] == pd.Timestamp("2012-05-01 23:59:59.999999")
    limits = pd.read_parquet(record / "genomic/coverage.parquet").set_index(["subject_id", "gene_symbol"])["limitation"]
    assert limits[(11, "APOB")] == "Exon 26 only."


VERSIONS = (
    row(f"A1 1 2012-05-01 F LDLR POS {VARIANT} Class 3"),
    row(f"A1 1 2013-05-01 C LDLR POS {VARIANT} Class 4"),
    row(f"A1 1 2014-05-01 C LDLR POS {VARIANT} Class 5"),
)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_latest_version_of_a_report_stands_whatever_came_first(
    record: Path, tmp_path: Path, order: tuple[int, ...]
) -> None:
    for number in order:
        ingest(write(tmp_path / f"{number}.csv", VERSIONS[number]), record)
    assert findings(record) == [(11, "LDLR", "pathogenic", "corrected")]
    assert pd.read_parquet(record / "genomic/findings.parquet")["available_time"].item().year == 2014


def test_a_report_entered_in_error_takes_its_findings_and_its_coverage_away_for_good(
    record: Path, tmp_path: Path
) -> None:
    first = write(tmp_path / "first.csv", VERSIONS[0], row("A2 2 2012-05-01 F LDLR NEG"))
    ingest(first, record)
    ingest(write(tmp_path / "error.csv", row("A1 1 2012-05-01 W LDLR NEG")), record)
    assert (findings(record), coverage(record)) == ([], [(12, "LDLR", "negative")])
    ingest(first, record)
    assert (findings(record), coverage(record)) == ([], [(12, "LDLR", "negative")])


def test_reading_the_same_again_changes_nothing(record: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "lab.csv", *VERSIONS, row("A2 2 2012-05-01 F LDLR NEG"))
    ingest(source, record)
    before = [(record / "genomic" / f"{name}.parquet").read_bytes() for name in ("findings", "coverage", "reports")]
    ingest(source, record)
    assert before == [
        (record / "genomic" / f"{name}.parquet").read_bytes() for name in ("findings", "coverage", "reports")
    ]


def test_broken_rows_are_counted_by_reason_and_kept(record: Path, tmp_path: Path) -> None:
    report = ingest(
        write(
            tmp_path / "lab.csv",
            row("A1 9 2012-05-01 F LDLR NEG"),
            row("A2 1 2012-15-01 F LDLR NEG"),
            row("A3 1 2012-05-01 F LDLRX NEG"),
            row("A4 1 2012-05-01 Q LDLR NEG"),
            row("A5 1 2012-05-01 P LDLR NEG"),
            row("A6 1 2012-05-01 F LDLR MAYBE"),
            row("A7 1 2012-05-01 F LDLR POS"),
            row(f"A8 1 2012-05-01 F LDLR NEG {VARIANT} Class 5"),
            row(f"A9 1 2012-05-01 F LDLR POS {VARIANT} Class 9"),
            row("A10 1 2012-05-01 F APOB NEG") | {"mrn": ""},
            row("A11 2 2012-05-01 F LDLR NEG"),
        ),
        record,
    )
    assert reasons(report) == {
        "unknown person": 1,
        "no date": 1,
        "unknown gene": 1,
        "unknown status": 1,
        "preliminary report": 1,
        "unknown result": 1,
        "result and variant contradict each other": 2,
        "unknown classification": 1,
        "no patient": 1,
    }
    assert coverage(record) == [(12, "LDLR", "negative")]
    kept = pd.read_parquet(record / "rejects/findings/reports.parquet")
    assert kept.loc[~kept["kept"], "reason"].value_counts().to_dict() == reasons(report)
    written = json.loads((record / "ingest_report.json").read_text())["findings"]
    assert written["tables"]["reports"]["rejected"] == dict(sorted(reasons(report).items()))


def test_a_report_of_which_no_row_can_be_read_replaces_nothing(record: Path, tmp_path: Path) -> None:
    first = row(f"A1 1 2012-05-01 F LDLR POS {VARIANT} Pathogenic")
    ingest(write(tmp_path / "first.csv", first), record)
    broken = row(f"A1 1 2013-05-01 C LDLR ??? {VARIANT} Benign")
    assert reasons(ingest(write(tmp_path / "second.csv", broken), record)) == {"unknown result": 1}
    assert findings(record) == [(11, "LDLR", "pathogenic", "final")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_what_a_spreadsheet_writes_on_windows_is_read(
    encoding: str, delimiter: str, record: Path, tmp_path: Path
) -> None:
    rows = [row(f"A1 1 2012-05-01 F LDLR POS {VARIANT} Pathogenic", laboratory="Labor Müller"),
            row("A2 2 2012-05-01 F LDLR NEG", laboratory="Labor Müller")]  # fmt: skip
    lines = [delimiter.join(COLUMNS), *(delimiter.join(each[name] for name in COLUMNS) for each in rows)]
    (tmp_path / "lab.csv").write_bytes(("\ufeff" + "\r\n".join(lines)).encode(encoding))
    report = ingest(tmp_path / "lab.csv", record)
    assert reasons(report) == {}
    assert findings(record) == [(11, "LDLR", "pathogenic", "final")]
    laboratories = pq.read_table(record / "genomic/coverage.parquet")["laboratory"].to_pylist()
    assert laboratories == ["Labor Müller", "Labor Müller"]


@pytest.mark.parametrize("name", ["report.json", "reports.ndjson"])
def test_fhir_in_utf_16_is_read(name: str, record: Path, tmp_path: Path) -> None:
    bundle = json.dumps(a_bundle(GERMLINE)).replace('"m7"', '"1"')
    (tmp_path / name).write_bytes(bundle.encode("utf-16"))
    assert reasons(ingest(tmp_path / name, record)) == {}
    assert findings(record) == [(11, "LDLR", "pathogenic", "final")]


def test_what_other_sources_reported_stays(record: Path, tmp_path: Path) -> None:
    (record / "ingest_report.json").write_text('{"omop": {"people": 3}}')
    ingest(write(tmp_path / "lab.csv", VERSIONS[0]), record)
    assert json.loads((record / "ingest_report.json").read_text())["omop"] == {"people": 3}


def test_a_row_with_too_many_or_too_few_fields_is_set_aside(record: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "lab.csv", row("A1 1 2012-05-01 F LDLR NEG"))
    with path.open("a") as stream:
        stream.write("A2,2,2012\n" + ",".join(["x"] * 20) + "\n")
    assert reasons(ingest(path, record)) == {"row with too many or too few fields": 2}
    assert coverage(record) == [(11, "LDLR", "negative")]


def test_an_id_of_two_people_is_nobodys(tmp_path: Path) -> None:
    record = record_of(tmp_path / "record", (11, "omop", "1"), (12, "fhir", "1"), (13, "fhir", "2"), (13, "omop", "2"))
    source = write(tmp_path / "lab.csv", row("A1 1 2012-05-01 F LDLR NEG"), row("A2 2 2012-05-01 F LDLR NEG"))
    assert reasons(ingest(source, record)) == {"ids that stand for two people": 1}
    assert coverage(record) == [(13, "LDLR", "negative")]


def test_one_clear_error_where_nothing_can_be_read(record: Path, tmp_path: Path) -> None:
    with pytest.raises(PresageError, match="expected a record with people in it, found nobody"):
        ingest(write(tmp_path / "lab.csv", VERSIONS[0]), tmp_path / "empty")
    with pytest.raises(PresageError, match="found no such file or folder"):
        ingest(tmp_path / "nowhere", record)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/scan.pdf").write_bytes(b"%PDF")
    with pytest.raises(PresageError, match=r"pictures: expected at least one report, .*, found none"):
        ingest(tmp_path / "pictures", record)
    path = write(tmp_path / "short.csv", VERSIONS[0])
    path.write_text(path.read_text().replace("limitation", "limits"))
    with pytest.raises(PresageError, match=r"short.csv: expected the columns .*, found no column 'limitation'"):
        ingest(path, record)
    assert not (record / "genomic").exists()


def test_files_of_no_known_shape_are_counted_not_fatal(record: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    write(folder / "lab.csv", VERSIONS[0])
    (folder / "other.csv").write_text("name,age\nx,1\n")
    (folder / "notes.txt").write_text("see lab.csv")
    (folder / "broken.json").write_text('{"resourceType": "Bundle", "entry": [')
    (folder / "list.json").write_text("[1, 2]")
    (folder / "deep.json").write_text("[" * 100_000)
    assert reasons(ingest(folder, record)) == {
        "table that is no laboratory's report": 1,
        "file of another kind": 1,
        "not JSON": 2,
        "JSON of unknown shape": 1,
    }
    assert findings(record) == [(11, "LDLR", "uncertain significance", "final")]


CELLS = st.sampled_from(
    ["", "1", "A1", "2012-05-01", "F", "W", "LDLR", "DETECTED", "NOT DETECTED", VARIANT, "5", "ü\0", "x" * 50]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=len(COLUMNS), max_size=len(COLUMNS)), max_size=6))
def test_no_table_is_fatal_and_every_row_is_read_or_counted(rows: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        record = record_of(Path(name) / "record", (11, "omop", "1"))
        report = ingest(write(Path(name) / "lab.csv", *(dict(zip(COLUMNS, r, strict=True)) for r in rows)), record)
        assert report.rejected <= len(rows)
        assert pq.read_table(record / "rejects/findings/reports.parquet").num_rows >= report.rejected


@pytest.mark.realdata
def test_real_reports_of_three_sources_are_read_into_one_table(real_data: Path, tmp_path: Path) -> None:
    """HL7's examples, eMERGE's two reports; one person of each is known to the record."""
    carrier, negative = "dd038a76-75a7-1234-bd73-89f222021b0e", "6b6de6bd-1290-4ba1-8c08-b0e9ba45b2be"
    ids = ("ExamplePatient", "CGPatientExample01", carrier, negative)
    record = record_of(tmp_path / "record", *((n, "fhir", i) for n, i in enumerate(ids, start=1)))
    first = ingest(real_data / "fhir_genomics_reporting/examples", record)
    second = ingest(real_data / "fhir_genomics_examples", record)
    assert reasons(first)["variant not germline: somatic"] == 12
    assert reasons(second)["file of another kind"] == 6
    found = pq.read_table(record / "genomic/findings.parquet")
    genes = {(r["subject_id"], r["gene_symbol"], r["classification"]) for r in found.to_pylist()}
    assert genes == {
        (1, "ACAD9", "pathogenic"), (2, "CYP2C19", None), (2, "VKORC1", None), (3, "BRCA2", "pathogenic"),
    }  # fmt: skip
    (acted_on,) = actionable(found)
    assert (acted_on.subject_id, acted_on.gene_symbol) == (3, "BRCA2")
    looked_at = {(subject, gene): result for subject, gene, result in coverage(record)}
    assert looked_at[(3, "BRCA2")] == "positive"
    assert looked_at[(4, "APOB")] == "negative"
    assert (4, "BRCA2") not in looked_at  # on eMERGE's panel, but the report does not say so
