"""A small hospital for the tests of the room: store, sign-ins and flags, a record, a bundle."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine
from starlette.exceptions import StarletteDeprecationWarning

from features.build import build
from features.catalogue import catalogue
from features.errors import PresageError
from features.index import Index
from features.record.record import Record
from features.record.schema import COVERAGE, EVENTS, FINDINGS, GENOMIC, IDENTITY
from features.record.tells import TELLS_FILE, Tells
from serving.access.roles import hash_password
from serving.flagging.policy import Action, FindingRule, Policy, ShortList
from serving.scoring.champions import Champion, Champions, champion_of
from serving.service import Backend, application
from serving.settings import Settings
from serving.store import repository
from serving.store.engine import open_store, transaction
from serving.store.rows import Person, Proposal, Reason, Receipt, Run
from tests.made import result_with
from training.bundle.bundle import Serving, load
from training.bundle.bundle import write as write_bundle
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.fitting.pair import fit_pair
from training.study import Population

with warnings.catch_warnings():
    # Starlette's client asks for a successor of httpx that nothing else here needs.
    warnings.simplefilter("ignore", DeprecationWarning)
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from starlette.testclient import TestClient

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
        not_scored=None if risk is not None else "not enrolled on the day of the scores",
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


# --- a record of 400 people, and a model that was trained on it ------------------------------------------------------

N_PEOPLE, AS_OF, SCORE_ID = 400, datetime.fromisoformat("2024-01-01T00:00:00"), "SIM-CHD"
CARRIER, TESTED_NEGATIVE = 11, range(31, 71)  # everybody else was never tested for a single gene


def write_record(folder: Path, *, rng: np.random.Generator) -> None:
    """People aged 35 to 84 on two panels; 160 genotyped; one carrier, and some who were tested and found negative."""
    events = [event for subject in range(1, N_PEOPLE + 1) for event in _events_of(subject, rng)]
    events.sort(key=lambda e: (e["subject_id"], e["time"] is not None, str(e["time"]), e["code"]))
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(events, EVENTS), folder / "data" / "0.parquet")
    (folder / "metadata").mkdir()
    (folder / TELLS_FILE).write_text(json.dumps(Tells.all().to_json()))
    identity = [{"subject_id": n, "source": "omop", "source_id": f"P-{n:04d}"} for n in range(1, N_PEOPLE + 1)]
    identity += [{"subject_id": n, "source": "genotypes", "source_id": f"G{n}"} for n in range(1, 161)]
    (folder / "identity").mkdir()
    pq.write_table(pa.Table.from_pylist(identity, IDENTITY), folder / "identity" / "subjects.parquet")
    write_tests(folder, rng=rng)


def _events_of(subject: int, rng: np.random.Generator) -> list[dict[str, object]]:
    def at(code: str, day: str | None, value: float | None = None, **more: object) -> dict[str, object]:
        time = None if day is None else datetime.fromisoformat(day)
        row = {"subject_id": subject, "time": time, "code": code, "numeric_value": value, "available_time": time}
        return row | more

    born = 2024 - int(rng.integers(35, 85))
    found = [
        at("MEDS_BIRTH", f"{born}-06-15"),
        at(f"Gender//{'F' if rng.random() < 0.5 else 'M'}", None),
        at("CARE_SITE", None, text_value=NORTH if subject % 2 else SOUTH),
        at("OBSERVATION_PERIOD//START", "2015-01-01"),
        at("OBSERVATION_PERIOD//END", "2025-01-01" if subject % 20 else "2023-06-30"),
    ]
    for year in (2019, 2021, 2023):
        if rng.random() < 0.8:
            found.append(at("LOINC//8480-6", f"{year}-03-02", round(rng.normal(135, 18)), unit="mm[Hg]"))
            found.append(at("LOINC//13457-7", f"{year}-03-02", round(rng.normal(130, 30)), unit="mg/dL"))
    if subject % 17 == 0:
        found.append(at("ICD10CM//I21.9", "2018-05-05"))
    return found


def write_tests(folder: Path, *, rng: np.random.Generator) -> None:
    known = datetime.fromisoformat("2022-05-10T12:00:00")
    report = {"laboratory": "Helix Laboratory", "time": known, "available_time": known}
    polygenic = [
        {
            "subject_id": n,
            "score_id": SCORE_ID,
            "z": float(rng.normal()),
            "matched_weight": 0.98,
            "available_time": known,
        }
        for n in range(1, 161)
    ]
    genes = {"LDLR": "HGNC:6547", "APOB": "HGNC:603", "PCSK9": "HGNC:20001"}
    coverage = [
        {"subject_id": n, "gene_symbol": gene, "gene_hgnc": hgnc, "report_id": f"R-{n}", **report}
        | {"result": "positive" if n == CARRIER and gene == "LDLR" else "negative"}
        for n in (CARRIER, *TESTED_NEGATIVE)
        for gene, hgnc in genes.items()
    ]
    finding = {
        "subject_id": CARRIER,
        "gene_hgnc": "HGNC:6547",
        "gene_symbol": "LDLR",
        "variant": "NM_000527.5:c.1646G>A",
        "zygosity": "heterozygous",
        "classification": "pathogenic",
        "condition": "Familial hypercholesterolemia",
        "report_id": f"R-{CARRIER}",
        "status": "final",
    }
    (folder / "genomic").mkdir()
    for name, rows in (("polygenic", polygenic), ("findings", [finding | report]), ("coverage", coverage)):
        pq.write_table(pa.Table.from_pylist(rows, GENOMIC[name]), folder / "genomic" / f"{name}.parquet")


@pytest.fixture(scope="session")
def record_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("health-system") / "record"
    write_record(folder, rng=np.random.default_rng(5))
    return folder


@pytest.fixture(scope="session")
def champion(record_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """A clinical and a combined Cox model, really fitted, written, verified and read again."""
    rng = np.random.default_rng(6)
    whole = catalogue(["demographics", "measurements", "monogenic"], polygenic=(SCORE_ID,))
    index = Index.at(np.arange(1, N_PEOPLE + 1), "2020-01-01")
    later = Index.at(np.arange(1, N_PEOPLE + 1), "2024-01-01")
    frame = build(later, Record.open(record_dir), catalogue=whole)
    z = np.nan_to_num(frame.column(f"prs_{SCORE_ID}_z"))
    hazard = 0.02 * np.exp(0.05 * (frame.column("age_years") - 60) + 0.5 * z)
    time = rng.exponential(1 / hazard) * 365.25
    outcome = Outcome(np.minimum(time, 3650.5), (time < 3650.5).astype(np.int8), (3650.0,))
    blocks = (
        Block(
            "clinical", ("age_years", "sex_female", "sbp_mmhg_latest_1825d", "ldl_mg_dl_latest_1825d"), genomic=False
        ),
        Block("polygenic", (f"prs_{SCORE_ID}_z",), genomic=True),
    )
    genotyped = ~np.isnan(frame.column(f"prs_{SCORE_ID}_z"))
    nothing = np.full(len(index), "", dtype=object)
    cohort = Cohort(frame, outcome, nothing, blocks, genotyped, nothing, {})
    pair = fit_pair("cox", cohort, rows=np.arange(len(index)), uncensored=None, rng=rng)
    auc = {"value": 0.71, "low": 0.66, "high": 0.76}
    folder = tmp_path_factory.mktemp("registry") / "bundle"
    write_bundle(
        folder,
        pair,
        manifest={
            "name": "chd-10y",
            "title": "10-year risk of coronary disease",
            "catalogue_hash": whole.hash,
            "horizons_days": [3650.0],
            "levels": {},
            "population": Population(age_years=(40, 79), history_days=365).model_dump(mode="json"),
            "outcome": {"codes": "codelists/coronary.csv", "horizons_days": [3650]},
        },
        serving=Serving(age_feature="age_years", age_years=(40, 79), genomic_required=(f"prs_{SCORE_ID}_z",)),
        documents={
            "catalogue.json": whole.to_json(),
            "codelist_coronary.csv": "code,term,include_descendants\nICD10CM//I21,infarction,true\n",
            "evaluation.json": result_with(chosen={"metrics": {"auc": auc}}).to_text(),
        },
        tables={},
    )
    return champion_of("chd-10y", "3", bundle=load(folder))


@pytest.fixture
def champions(champion: Champion, monkeypatch: pytest.MonkeyPatch) -> Champions:
    """A registry with one champion, also where the batch commands look for it."""
    monkeypatch.setattr("serving.scoring.score.load_champion", lambda name: champion)
    monkeypatch.setattr("serving.flagging.flag.load_version", lambda name, version: champion)
    return Champions(load=lambda name: champion, versions=lambda: {champion.name: champion.version})


@pytest.fixture
def clinic(tmp_path: Path, record_dir: Path) -> Settings:
    """An installation with nothing in its store yet, beside the record of 400."""
    return Settings(home=tmp_path, store_url=f"sqlite:///{tmp_path / 'presage.db'}", record=record_dir)


# --- the service ------------------------------------------------------------------------------------------------------


class Browser:
    """A client that signs in and fills forms as the pages' own HTML says, without a screen."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        page = self.client.get("/sign-in")
        form = {"name": name, "password": password, "token": token_in(page.text)}
        return self.client.post("/sign-in", data=form, follow_redirects=False)

    def decide(self, flag_id: int, decision: str, **more: str) -> httpx.Response:
        token = token_in(self.client.get("/worklist").text)
        form = {"decision": decision, "token": token} | more
        return self.client.post(f"/flags/{flag_id}/decision", data=form, follow_redirects=False)


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', page)
    assert found, "the page has a form with a token"
    return found[1]


def backend_of(hospital: Hospital, champions: Champions | None = None) -> Backend:
    return Backend(hospital.settings, champions or Champions(load=_no_model, versions=dict))


def _no_model(name: str) -> Champion:
    raise PresageError(name, "a registered model", found="none of that name", way_out="train it first")


@pytest.fixture
def client(hospital: Hospital) -> Iterator[TestClient]:
    """The whole service in this process, with the seeded store."""
    with TestClient(application(backend_of(hospital), metrics=False), base_url="http://127.0.0.1:3000") as running:
        yield running


@pytest.fixture
def browser(client: TestClient) -> Browser:
    return Browser(client)
