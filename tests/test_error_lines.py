"""What a person reads: errors provoked for real, each as the whole line. Names are relative to where the test works."""
# ruff: noqa: E501 - what is read as one line stands in one line

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalogue import catalogue
from features.codes import lists as codes
from features.errors import PresageError
from features.polygenic.columns import Alleles
from features.polygenic.genotypes.tables import read_psam
from features.polygenic.prs import prs
from features.polygenic.run import Settings
from features.polygenic.scores.catalog import read_scores
from features.record import Record
from features.sources import meds
from serving.access.roles import hash_password
from serving.faults import mendable
from serving.flagging.policy import read_policy
from training.bundle import load
from training.card import read_answers
from training.simulation.effects import effects_of
from training.study import read_study
from training.train import train

STUDY = """name = "aml"
[source]
table = "aml.csv"
id = "patient"
[outcome]
event = "status"
[validation]
folds = 5
"""
TABLE = "patient,age,status\n" + "".join(f"p{n},{40 + n},{n % 2}\n" for n in range(40))
POLICY = """name = "demo"
version = "1"
title = "Demo"
study = "demo"
[shortlist]
headline = "High risk"
capacity = 3
[shortlist.action]
text = "Call"
source = "A guideline 2020"
owner = "Care manager"
deadline_days = 7
"""
SCORE = "#pgs_id=S1\nchr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\n1\t100\tA\tC\t0.5\n"
CODES = "code,term,include_descendants\n"


def _written(name: str, text: str) -> Path:
    Path(name).write_text(text)
    return Path(name)


def _study(old: str, new: str) -> object:
    return read_study(_written("aml.toml", STUDY.replace(old, new)))


def _trained(*, more: str = "", folds: int = 5, old: str = "", new: str = "") -> object:
    _written("aml.csv", TABLE.replace(old, new))
    return train(_written("aml.toml", STUDY.replace("folds = 5", f"folds = {folds}") + more))


def _policy(old: str, new: str) -> object:
    return read_policy(_written("chd.toml", POLICY.replace(old, new)))


def _scored(rows: str) -> object:
    return list(read_scores(_written("score.txt", SCORE + rows), Alleles(), build=None))


def _meds() -> object:
    Path("source/data").mkdir(parents=True)
    pq.write_table(pa.table({"subject_id": [1], "time": [None]}), "source/data/0.parquet")
    return meds.ingest(Path("source"), Path("record"))


def _refused_by_the_machine(number: int, name: str) -> object:
    raise mendable(OSError(number, "in the system's words", name)) or AssertionError


LINES: dict[str, Callable[[], object]] = {
    # A study's file: its section and key, the keys that there are, and the one that is meant.
    "aml.toml: expected a study file, found no such file": (
        lambda: read_study(Path("aml.toml"))
    ),
    "aml.toml, line 1, column 8: expected TOML, found what its reader calls 'Invalid value'": (
        lambda: _study('name = "aml"', "name = aml")
    ),
    "aml.toml, [outcome] evnt: expected a key among codes, name, competing, washout_days, time, event, positive, time_unit, horizons_days (write 'event' if that is meant)": (
        lambda: _study("event =", "evnt =")
    ),
    "aml.toml, [sauce]: expected a section among name, title, kind, source, population, outcome, features, models, validation, equity, gate (write 'source' if that is meant)": (
        lambda: _study("[source]", "[sauce]")
    ),
    "aml.toml, [validation] folds: expected 2 or more": (
        lambda: _study("folds = 5", "folds = 1")
    ),
    "aml.toml, [validation]: expected one scheme, found folds and site_column": (
        lambda: _study("folds = 5", 'folds = 5\nsite_column = "site"')
    ),
    "aml.toml, [outcome] event: expected the column that holds the outcome, found none": (
        lambda: _study('event = "status"', "")
    ),
    # A study's key, once the data are known.
    "aml.toml, [validation] folds: expected at most 40 folds for 40 people, found 90": (
        lambda: _trained(folds=90)
    ),
    "aml.toml, [features.blocks] clinical: expected names of features, or patterns of them, found 'ages', which is like none (write 'age' if that is meant)": (
        lambda: _trained(more='[features.blocks]\nclinical = ["ages"]\n')
    ),
    "aml.toml, [models] candidates: expected learners among logistic, cox, xgboost, xgboost_cox, extra_trees, stack, equation_update, found 'xgbost' (write 'xgboost' if that is meant)": (
        lambda: _trained(more='[models]\ncandidates = ["xgbost"]\n')
    ),
    # A table: the row and the column, and never what the cell holds.
    "aml.csv, row 9, column 'status': expected 0 or 1, found '0' and '1', and 1 rarer value (name the values that count as the event: [outcome] positive = [\"...\"])": (
        lambda: _trained(old="p7,47,1", new="p7,47,relapsed")
    ),
    "aml.csv, row 9, column 'patient': expected an id in every row, found none": (
        lambda: _trained(old="p7,47", new=",47")
    ),
    "aml.csv, column 'status': expected a column among patient, age, state, found none of that name (write 'state' if that is meant)": (
        lambda: _trained(old="status", new="state")
    ),
    # Other files that people write.
    "chd.toml, [shortlist.action] owner: expected this key, found none (give every flag an action with text, source, owner and deadline_days)": (
        lambda: _policy('owner = "Care manager"\n', "")
    ),
    "chd.toml, [shortlist] capacity: expected a whole number": (
        lambda: _policy("capacity = 3", 'capacity = "3"')
    ),
    "chd.csv, line 2, column 'code': expected a code as VOCABULARY//CODE (write it as in ICD10CM//I21.9)": (
        lambda: codes.read(_written("chd.csv", CODES + "I21,infarction,true\n"))
    ),
    "card.toml, funding: expected a text in quotes": (
        lambda: read_answers(_written("card.toml", "funding = 3\n"))
    ),
    # Records, bundles, genotypes and scores.
    "record: expected the folder of a record, found no data/*.parquet in it (make one: presage ingest omop SRC)": (
        lambda: Record.open(Path("record"))
    ),
    "bundle: expected the folder of a bundle, found no digests.json in it": (
        lambda: load(Path("bundle"))
    ),
    "source/data: expected the columns subject_id, time, code, found no column 'code' (give the folder of a MEDS data set: data/**/*.parquet, metadata/codes.parquet)": (
        _meds
    ),
    "score.txt, line 4: expected 5 columns, found 3 (download it again: the file is cut short or edited)": (
        lambda: _scored("1\t200\tG\n")
    ),
    "score.txt, line 4, column effect_weight: expected a number (mend the row)": (
        lambda: _scored("1\t200\tG\tT\tbig\n")
    ),
    "panel.psam, line 3: expected an id for each sample, found one of an earlier line (give every sample its own id)": (
        lambda: read_psam(_written("panel.psam", "#IID\nS0\nS0\n"))
    ),
    # Options, arguments and variables.
    "--out: expected a name that ends in .parquet or .csv (write --out scores.parquet)": (
        lambda: prs(Path("x.pgen"), [], out=Path("scores.txt"), settings=Settings())
    ),
    "--scenario: expected a scenario among default, no-genomic-effect, no-treatment-benefit, found 'no-genome-effect' (write 'no-genomic-effect' if that is meant)": (
        lambda: effects_of("no-genome-effect")
    ),
    "families: expected names among demographics, groups, measurements, conditions, medications, utilisation, family_history, social, comorbidity, monogenic, equations, polygenic, codes, found 'demografics' (write 'demographics' if that is meant)": (
        lambda: catalogue(["demografics"])
    ),
    "password: expected 12 characters or more": (
        lambda: hash_password("short")
    ),
    # What the machine refuses.
    "scores.parquet: expected room on the disk, found no space left on device (free some space; what was there before stands)": (
        lambda: _refused_by_the_machine(errno.ENOSPC, "scores.parquet")
    ),
    "record: expected the permission to use it, found permission denied (ask for the permission, or name another place)": (
        lambda: _refused_by_the_machine(errno.EACCES, "record")
    ),
}  # fmt: skip


@pytest.mark.parametrize(("line", "provoke"), LINES.items(), ids=[line.split(": expected")[0] for line in LINES])
def test_a_person_reads_where_it_is_what_was_expected_and_what_to_do(
    line: str, provoke: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    with pytest.raises(PresageError) as caught:
        provoke()
    assert str(caught.value) == line
