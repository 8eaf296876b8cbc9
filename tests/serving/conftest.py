"""A small hospital for the tests of the room: a store, its sign-ins, and flags as a policy would raise them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from features.schema import COVERAGE, FINDINGS
from serving.access import hash_password
from serving.policy import Action, FindingRule, Policy, ShortList
from serving.settings import Settings
from serving.store import repository
from serving.store.engine import open_store, transaction
from serving.store.rows import Person, Proposal, Reason, Receipt, Run

NOW = datetime.fromisoformat("2025-01-06T09:00:00")  # UTC without a zone, as the store keeps it
PASSWORD = "correct horse battery"
NORTH, SOUTH = "North Clinic", "South Clinic"
USERS = {
    "ada": ("care manager", [NORTH]),
    "sol": ("care manager", [SOUTH]),
    "lena": ("programme lead", []),
    "dana": ("data scientist", []),
}

FH = FindingRule(
    name="familial-hypercholesterolaemia",
    headline="Carries a variant that causes familial hypercholesterolaemia",
    genes=("LDLR", "APOB", "PCSK9"),
    action=Action(
        text="Refer to the lipid clinic; offer cascade testing to first-degree relatives",
        source="Gidding 2015, Circulation 132:2167",
        owner="Care manager",
        deadline_days=14,
    ),
)
POLICY = Policy(
    name="chd-10y",
    version="1",
    title="Prevention of coronary disease",
    study="chd-10y",
    shortlist=ShortList(
        headline="High risk of coronary disease",
        capacity=3,
        minimum_risk=0.05,
        action=Action(
            text="Invite to a prevention visit: discuss a statin, blood pressure and smoking",
            source="2019 ACC/AHA primary prevention guideline, Circulation 140:e596",
            owner="Care manager",
            deadline_days=28,
        ),
    ),
    findings=(FH,),
)


def receipt(subject_id: int, risk: float, *, model: str = "clinical", as_of: datetime = NOW) -> Receipt:
    return Receipt(
        subject_id=subject_id,
        as_of=as_of,
        study="chd-10y",
        model=model,
        model_reason="no genomic results" if model == "clinical" else "",
        model_version="3",
        bundle_digest="b" * 64,
        catalogue_hash="c" * 64,
        feature_hash=f"{subject_id:064d}",
        horizons_days=(3650.0,),
        risks=(risk,),
    )


def proposal(subject_id: int, risk: float | None, **given: object) -> Proposal:
    values: dict[str, object] = {
        "subject_id": subject_id,
        "kind": "risk",
        "cause": "chd-10y",
        "headline": "High risk of coronary disease",
        "reasons": (
            Reason("Systolic blood pressure 168 mm[Hg], last measured 3 weeks ago", 0.61),
            Reason("Current smoker", 0.34),
            Reason("HDL cholesterol 62 mg/dL", -0.18),
        ),
        "action": POLICY.shortlist.action.text,
        "action_source": POLICY.shortlist.action.source,
        "owner": POLICY.shortlist.action.owner,
        "due_on": date(2025, 2, 3),
        "genetic_status": "not tested",
        "genetic_words": "No genetic test on record",
        "risk": risk,
        "horizon_days": 3650.0,
        "model": "clinical",
    }
    return Proposal(**values | given)  # type: ignore[arg-type]


def finding_proposal(subject_id: int, *, report_id: str = "R-17", risk: float | None = 0.21) -> Proposal:
    return proposal(
        subject_id,
        risk,
        kind="finding",
        cause="LDLR",
        headline=FH.headline,
        reasons=(Reason("LDLR c.1646G>A, pathogenic; Helix Laboratory, report R-17"),),
        action=FH.action.text,
        action_source=FH.action.source,
        genetic_status="finding",
        genetic_words="LDLR pathogenic",
        model="combined" if risk is not None else None,
        report_id=report_id,
    )


# subject_id, source id, panel
PEOPLE = [
    Person(101, "omop", "P-48213", NORTH),
    Person(102, "omop", "P-11907", NORTH),
    Person(103, "omop", "P-30551", NORTH),
    Person(104, "omop", "P-77120", NORTH),
    Person(201, "omop", "P-90001", SOUTH),
]
PROPOSALS = [
    finding_proposal(101),
    proposal(
        102, 0.312, genetic_status="negative", genetic_words="Tested negative: LDLR, APOB, PCSK9", model="combined"
    ),
    proposal(103, 0.184),
    proposal(
        104,
        0.097,
        genetic_status="uncertain",
        genetic_words="Uncertain result: APOB",
        reasons=(Reason("Polygenic score for coronary disease in the highest 3 of 100", 0.72), Reason("Age 58", 0.2)),
        model="combined",
    ),
    proposal(201, 0.255),
]


@dataclass(frozen=True)
class Hospital:
    settings: Settings
    engine: Engine

    def flag_ids(self) -> dict[int, int]:
        with transaction(self.engine) as connection:
            return {s.subject_id: s.flag_id for s in repository.last_flags(connection, POLICY.name)}


def seed(engine: Engine) -> None:
    hashed = hash_password(PASSWORD)
    with transaction(engine) as connection:
        for name, (role, panels) in USERS.items():
            repository.add_user(connection, name=name, role=role, password_hash=hashed, panel_names=panels)
        repository.add_policy(connection, POLICY.row())
        repository.add_persons(connection, PEOPLE)
        run_id = repository.add_run(connection, Run(POLICY.hash, "d" * 64, NOW, NOW, 900, 40))
        for wanted in PROPOSALS:
            kept = repository.add_receipt(
                connection, receipt(wanted.subject_id, wanted.risk or 0.0, model=wanted.model or "clinical")
            )
            repository.raise_flag(connection, wanted, policy=POLICY.row(), receipt_id=kept, run_id=run_id, now=NOW)


def write_genomics(record: Path) -> None:
    known = datetime.fromisoformat("2024-11-20T12:00:00")
    report = {"laboratory": "Helix Laboratory", "time": known, "available_time": known}
    finding = {
        "subject_id": 101,
        "gene_hgnc": "HGNC:6547",
        "gene_symbol": "LDLR",
        "variant": "NM_000527.5:c.1646G>A",
        "zygosity": "heterozygous",
        "classification": "pathogenic",
        "condition_mondo": "MONDO:0007750",
        "condition": "Familial hypercholesterolemia",
        "report_id": "R-17",
        "status": "final",
    }
    looked_at = [(101, "LDLR", "positive"), (101, "APOB", "negative"), (101, "PCSK9", "negative")]
    looked_at += [(102, gene, "negative") for gene in ("LDLR", "APOB", "PCSK9")] + [(104, "APOB", "inconclusive")]
    coverage = [
        {"subject_id": subject, "gene_symbol": gene, "result": result, "report_id": f"R-{subject}", **report}
        for subject, gene, result in looked_at
    ]
    (record / "genomic").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([finding | report], FINDINGS), record / "genomic" / "findings.parquet")
    pq.write_table(pa.Table.from_pylist(coverage, COVERAGE), record / "genomic" / "coverage.parquet")


@pytest.fixture(scope="session")
def hospital_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded SQLite store, made once."""
    home = tmp_path_factory.mktemp("template")
    engine = open_store(f"sqlite:///{home / 'presage.db'}")
    seed(engine)
    engine.dispose()
    return home / "presage.db"


@pytest.fixture
def hospital(tmp_path: Path, hospital_template: Path) -> Iterator[Hospital]:
    """A store of its own for one test, with a record beside it."""
    (tmp_path / "presage.db").write_bytes(hospital_template.read_bytes())
    write_genomics(tmp_path / "record")
    url = f"sqlite:///{tmp_path / 'presage.db'}"
    engine = open_store(url)
    yield Hospital(Settings(home=tmp_path, store_url=url, record=tmp_path / "record"), engine)
    engine.dispose()


NewStore = Callable[[], Engine]
