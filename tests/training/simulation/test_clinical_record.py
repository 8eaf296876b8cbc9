"""The simulated record as a reader of OMOP finds it, and the promise that one seed gives one set of bytes."""

import hashlib
import io
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import PresageError
from training.simulation import simulate
from training.simulation.care import creatinine
from training.simulation.concepts import CONCEPTS, LOCAL
from training.simulation.omop import COLUMNS, schema
from training.simulation.world import World, clinical_tables, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(people=3_000, seed=7)


@pytest.fixture(scope="module")
def tables(world: World) -> dict[str, pa.Table]:
    return clinical_tables(world)


def ask(tables: dict[str, pa.Table], question: str) -> pd.DataFrame:
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        answer: pd.DataFrame = connection.sql(question).df()
    return answer


def digest(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "world"
    simulate(out, people=300, seed=7)
    return out


def test_the_same_seed_gives_the_same_bytes(simulated: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "again", people=300, seed=7)
    assert digest(tmp_path / "again") == digest(simulated)


def test_another_seed_gives_another_population(simulated: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "other", people=300, seed=8)
    same, other = digest(simulated), digest(tmp_path / "other")
    vocabulary = {f"omop/{name}.parquet" for name in ("concept", "concept_relationship", "concept_ancestor")}
    fixed = {"omop/care_site.parquet", "omop/provider.parquet", "reference/panel.psam"}  # sites and sample names
    assert {name for name in same if same[name] == other.get(name)} == vocabulary | fixed


def test_everything_promised_is_written(simulated: Path) -> None:
    written = {str(file.relative_to(simulated)) for file in simulated.rglob("*") if file.is_file()}
    wanted = {f"omop/{table}.parquet" for table in (*COLUMNS, "concept", "concept_relationship", "concept_ancestor")}
    wanted |= {"truth.parquet", "genotypes/genotypes.pgen", "genotypes/samples.csv"}
    assert wanted <= written
    assert len(list((simulated / "fhir").glob("*.json"))) == 200
    assert list((simulated / "scores").glob("*.txt.gz"))
    truth = pq.read_table(simulated / "truth.parquet").to_pandas()
    assert set(truth["outcome"]) == {"chd", "t2d", "breast_cancer", "unplanned_admission"}
    assert truth[["risk", "risk_treated", "risk_untreated"]].apply(lambda r: r.between(0, 1).all()).all()


def test_a_folder_that_holds_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(PresageError, match="new, empty, or an earlier simulation"):
        simulate(tmp_path, people=300, seed=7)
    assert (tmp_path / "thesis.txt").exists()


def test_an_unknown_scenario_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PresageError, match="no-genomic-effect"):
        simulate(tmp_path / "x", people=300, seed=7, scenario="utopia")
    assert not (tmp_path / "x").exists()


@pytest.mark.realdata
def test_columns_are_those_of_cdm_5_4(real_data: Path) -> None:
    with zipfile.ZipFile(real_data / "omop_synthea27nj" / "Synthea27Nj_5.4.zip") as archive:
        for table in COLUMNS:
            (member,) = [n for n in archive.namelist() if n.upper() == f"{table}.CSV".upper()]
            header = archive.read(member).split(b"\n", 1)[0].decode().strip().lower().split(",")
            assert schema(table).names == header, table


@pytest.mark.realdata
def test_concept_ids_are_real_exactly_where_the_shared_concept_tables_have_them(real_data: Path) -> None:
    with zipfile.ZipFile(real_data / "omop_synthea27nj" / "Synthea27Nj_5.4.zip") as archive:
        synthea = pd.read_csv(io.BytesIO(archive.read("CONCEPT.csv")), dtype=str)
    synthea.columns = synthea.columns.str.lower()
    gibleed = pd.read_csv(real_data / "omop_gibleed" / "concept.csv", dtype=str)
    known = pd.concat([gibleed, synthea]).drop_duplicates(["vocabulary_id", "concept_code"])
    ids = known.set_index(["vocabulary_id", "concept_code"])["concept_id"].astype(int).to_dict()
    for concept in CONCEPTS.values():
        real = ids.get((concept.vocabulary, concept.code))
        assert concept.concept_id == real if real else concept.concept_id > LOCAL, concept.code


def test_every_concept_id_used_has_its_row(tables: dict[str, pa.Table]) -> None:
    known = set(tables["concept"]["concept_id"].to_pylist())
    assert len(known) == tables["concept"].num_rows == len(CONCEPTS)
    for name in COLUMNS:
        for column in (c for c in tables[name].column_names if c.endswith("concept_id")):
            used = set(tables[name][column].unique().to_pylist()) - {None, 0}
            assert used <= known, (name, column)


@pytest.mark.parametrize(
    ("table", "start"),
    [
        ("visit_occurrence", "visit_start_date"),
        ("visit_occurrence", "visit_end_date"),
        ("condition_occurrence", "condition_start_date"),
        ("drug_exposure", "drug_exposure_start_date"),
        ("measurement", "measurement_date"),
        ("observation", "observation_date"),
        ("death", "death_date"),
    ],
)
def test_what_is_written_happened_while_enrolled_and_alive(tables: dict[str, pa.Table], table: str, start: str) -> None:
    ends = table == "visit_occurrence" and start == "visit_end_date"
    outside = ask(
        tables,
        f"""select count(*) n from {table} t where not exists (
            select 1 from observation_period p where p.person_id = t.person_id
            and t.{start} between p.observation_period_start_date and
                p.observation_period_end_date + {90 if ends else 0})""",
    )
    assert outside["n"].item() == 0
    late = ask(
        tables, f"select count(*) n from {table} t join death d using (person_id) where t.{start} > d.death_date"
    )
    assert late["n"].item() == 0


def test_every_coronary_event_while_enrolled_is_in_the_record_on_its_day(
    world: World, tables: dict[str, pa.Table]
) -> None:
    lives = world.lives
    rows = np.flatnonzero(np.isfinite(lives.chd_day) & (lives.chd_day >= world.people.entry_day))
    rows = rows[lives.enrolled(rows, lives.chd_day[rows])]
    first = ask(
        tables,
        """select person_id, min(condition_start_date) first from condition_occurrence
           where condition_source_value in ('I21.9', 'I25.10', 'I20.9') group by person_id""",
    ).set_index("person_id")["first"]
    found = pd.to_datetime(first.reindex(world.people.person_id[rows]))
    expected = np.datetime64("2000-01-01") + np.floor(lives.chd_day[rows]).astype(int)
    np.testing.assert_array_equal(found.to_numpy().astype("datetime64[D]"), expected)
    infarction = lives.infarction[rows]
    assert 0.3 < infarction.mean() < 0.6


def test_the_first_infarction_is_an_unplanned_admission(tables: dict[str, pa.Table]) -> None:
    kinds = ask(
        tables,
        """select distinct concept_code from condition_occurrence c join visit_occurrence v using (visit_occurrence_id)
           join concept on visit_concept_id = concept_id where condition_source_value = 'I21.9'""",
    )
    assert kinds["concept_code"].tolist() == ["ERIP"]


def test_rows_per_person_are_those_of_a_real_record(tables: dict[str, pa.Table]) -> None:
    clinical = ("visit_occurrence", "condition_occurrence", "drug_exposure", "measurement", "observation")
    assert 120 < sum(tables[name].num_rows for name in clinical) / 3_000 < 200


def test_asked_and_no_is_zero_and_never_asked_is_absent(world: World, tables: dict[str, pa.Table]) -> None:
    answers = ask(
        tables,
        """select person_id, max(value_as_number) answer from observation
           where observation_source_value = 'FAMILY_HISTORY_CHD' group by person_id""",
    ).set_index("person_id")["answer"]
    answer = answers.reindex(world.people.person_id).to_numpy()
    asked, history = ~np.isnan(answer), world.people.family_history["chd"]
    np.testing.assert_array_equal(answer[asked], history[asked].astype(float))
    assert 0.05 < (~asked).mean() < 0.4
    assert asked[history].mean() > asked[~history].mean() + 0.05  # told by those who have one


def test_laboratory_tests_are_missing_for_a_reason(world: World, tables: dict[str, pa.Table]) -> None:
    tests = ask(
        tables,
        """select person_id, count(*) n from measurement join visit_occurrence using (person_id, visit_occurrence_id)
           where measurement_source_value = '4548-4' group by person_id""",
    ).set_index("person_id")["n"]
    years = np.maximum((np.minimum(world.lives.death_day, 9000) - world.people.entry_day) / 365.25, 1)
    rate = tests.reindex(world.people.person_id).fillna(0).to_numpy() / years
    assert rate[np.isfinite(world.lives.t2d_day)].mean() > 1.4 * rate[np.isinf(world.lives.t2d_day)].mean()


def test_over_a_third_is_genotyped_by_deprivation_and_ancestry(world: World) -> None:
    people = world.people
    chosen = np.isin(people.person_id, world.genotyped["person_id"])
    assert chosen.mean() == pytest.approx(0.35, abs=0.001)
    assert chosen[people.deprivation == 1].mean() > 1.3 * chosen[people.deprivation == 5].mean()
    assert chosen[people.group == "EUR"].mean() > 1.3 * chosen[people.group == "AFR"].mean()
    collected = world.genotyped["collected"]
    assert (collected < pd.Timestamp("2001-01-01")).mean() > 0.5
    assert (collected > pd.Timestamp("2003-01-01")).mean() > 0.05


def test_values_are_those_of_living_people_in_units_of_ucum(tables: dict[str, pa.Table]) -> None:
    drawn = ask(
        tables,
        """select measurement_source_value code, any_value(unit_source_value) unit, count(distinct unit_source_value) n,
                  min(value_as_number) low, max(value_as_number) high from measurement group by code""",
    ).set_index("code")
    plausible = {  # code: unit, lowest, highest that a laboratory would report
        "8480-6": ("mm[Hg]", 60, 230),
        "8462-4": ("mm[Hg]", 35, 140),
        "39156-5": ("kg/m2", 13, 60),
        "2093-3": ("mg/dL", 60, 550),
        "2085-9": ("mg/dL", 12, 130),
        "13457-7": ("mg/dL", 20, 450),
        "2571-8": ("mg/dL", 30, 700),
        "4548-4": ("%", 3.5, 15),
        "1558-6": ("mg/dL", 50, 400),
        "2160-0": ("mg/dL", 0.1, 15),
        "98979-8": ("mL/min/{1.73_m2}", 5, 140),
        "9318-7": ("mg/g", 0, 300),
    }
    assert set(drawn.index) == set(plausible)
    for code, (unit, low, high) in plausible.items():
        row = drawn.loc[code]
        assert (row["unit"], row["n"]) == (unit, 1)
        assert low <= row["low"], code
        assert row["high"] <= high, code


def test_creatinine_is_the_inverse_of_ckd_epi_2021() -> None:
    """Forward as printed (Inker 2021, N Engl J Med 385:1737): 142 min(S/k,1)^a max(S/k,1)^-1.2 0.9938^age 1.012[F]."""
    egfr = np.array([15.0, 45.0, 75.0, 100.0, 125.0] * 2)
    age = np.array([80.0, 70.0, 60.0, 50.0, 25.0] * 2)
    female = np.repeat([True, False], 5)
    scr = creatinine(egfr, age, female=female)
    for value, years, woman, expected in zip(scr, age, female, egfr, strict=True):
        k, a, sex = (0.7, -0.241, 1.012) if woman else (0.9, -0.302, 1.0)
        forward = 142 * min(value / k, 1) ** a * max(value / k, 1) ** -1.2 * 0.9938**years * sex
        assert forward == pytest.approx(expected, rel=1e-9)


def test_panels_exist(tables: dict[str, pa.Table]) -> None:
    sizes = ask(tables, "select care_site_id, count(*) n from person group by all")
    assert len(sizes) == 8
    assert sizes["n"].min() > 200
    orphans = ask(
        tables,
        """select count(*) n from person p left join provider d using (provider_id)
           where d.care_site_id is distinct from p.care_site_id""",
    )
    assert orphans["n"].item() == 0
