"""Builds the whole simulated health system: people, genomes, lives, records, and the truth, into one folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import PresageError
from features.progress import Progress, silent
from features.writing import whole_folder
from training.simulation import care, omop
from training.simulation.effects import effects_of
from training.simulation.fhir import write_fhir
from training.simulation.genomes import Genomes, simulate_genomes
from training.simulation.hazards import Hazards, hazards_of
from training.simulation.lives import Lives, live
from training.simulation.population import People, draw_ancestry, draw_people
from training.simulation.reports import write_reports
from training.simulation.testing import clinically_tested, genotyped
from training.simulation.truth import true_risks
from training.simulation.visits import make_visits

FEWEST_PEOPLE = 100
PEOPLE_IN_FHIR = 200
END_OF_RECORDS = date(2025, 1, 1)


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is true of a simulated population, before anybody writes anything down."""

    people: People
    genomes: Genomes
    hazards: Hazards
    lives: Lives
    genotyped: pd.DataFrame
    tested: pd.DataFrame
    record_rng: np.random.Generator
    report_rng: np.random.Generator
    fhir_rng: np.random.Generator


def simulate(out: Path, *, people: int, seed: int, scenario: str = "default", progress: Progress = silent) -> None:
    """Write omop/, genotypes/, scores/, reports/, fhir/ and truth.parquet under `out`; same seed, same bytes.

    The folder appears whole or not at all. Raises PresageError for an unknown scenario, too few people, or an `out`
    that exists and is not a simulation's.
    """
    _check(out, people)
    with whole_folder(out) as partial:
        partial.mkdir()
        world = make_world(people=people, seed=seed, scenario=scenario, progress=progress)
        tables = clinical_tables(world, progress=progress)
        omop.write_tables(tables, partial / "omop", progress=progress)
        _write_genomics(world, partial, progress=progress)
        write_fhir(partial / "fhir", tables, person_ids=_in_fhir(world))
        truth = true_risks(world.people, world.hazards, lives=world.lives, progress=progress)
        pq.write_table(truth, partial / "truth.parquet", compression="zstd")


def make_world(*, people: int, seed: int, scenario: str = "default", progress: Progress = silent) -> World:
    """Draw a population and its 25 years. Scenarios of one seed share every random number."""
    effects = effects_of(scenario)
    streams = np.random.default_rng(seed).spawn(8)
    ancestry = draw_ancestry(streams[0], people)
    with progress("genomes"):
        genomes = simulate_genomes(ancestry, rng=streams[1], scenario=scenario)
    with progress("lives"):
        persons = draw_people(streams[2], ancestry, genomes=genomes, effects=effects)
        hazards = hazards_of(persons, effects)
        lives = live(streams[3], persons, hazards=hazards)
    genotyped_rng, tested_rng = streams[4].spawn(2)
    return World(
        people=persons,
        genomes=genomes,
        hazards=hazards,
        lives=lives,
        genotyped=genotyped(genotyped_rng, persons, lives=lives),
        tested=clinically_tested(tested_rng, persons, lives=lives),
        record_rng=streams[5],
        report_rng=streams[6],
        fhir_rng=streams[7],
    )


def clinical_tables(world: World, *, progress: Progress = silent) -> dict[str, pa.Table]:
    """The OMOP tables, by name."""
    people, lives = world.people, world.lives
    rngs = world.record_rng.spawn(5)
    with progress("visits and results", total=5) as advance:
        visits = make_visits(rngs[0], people, lives=lives)
        advance(1)
        clinical = {}
        for name, rng, write, tabulate in (
            ("measurement", rngs[1], care.measurements, omop.measurement_table),
            ("condition_occurrence", rngs[2], care.conditions, omop.condition_table),
            ("drug_exposure", rngs[3], care.prescriptions, omop.drug_table),
            ("observation", rngs[4], care.observations, omop.observation_table),
        ):
            clinical[name] = tabulate(people, write(rng, people, lives=lives, visits=visits))
            advance(1)
    return {
        "person": omop.person_table(people),
        "observation_period": omop.period_table(people, lives),
        "visit_occurrence": omop.visit_table(people, visits),
        **clinical,
        "death": omop.death_table(people, lives),
        **omop.site_tables(),
        **omop.vocabulary_tables(),
    }


def _write_genomics(world: World, folder: Path, *, progress: Progress) -> None:
    with progress("genotypes, scores and reports"):
        world.genomes.write_genotypes(
            folder / "genotypes", list(world.genotyped["person_id"]), collected=list(world.genotyped["collected"])
        )
        world.genomes.write_scores(folder / "scores")
        world.genomes.write_reference(folder / "reference")
        write_reports(
            folder / "reports",
            world.tested,
            carriers=world.genomes.carriers,
            until=END_OF_RECORDS,
            rng=world.report_rng,
        )


def _in_fhir(world: World) -> list[int]:
    """The same people as FHIR: a random few, so that every kind of person is among them."""
    people = world.people.person_id
    chosen = world.fhir_rng.choice(people, size=min(PEOPLE_IN_FHIR, len(people)), replace=False)
    return [int(person) for person in np.sort(chosen)]


def _check(out: Path, people: int) -> None:
    if people < FEWEST_PEOPLE:
        raise PresageError("--people", f"{FEWEST_PEOPLE:,} or more", found=f"{people:,}")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "truth.parquet").exists())):
        raise PresageError(
            str(out),
            "a folder that is new, empty, or an earlier simulation",
            found="another one",
            way_out="name another",
        )
