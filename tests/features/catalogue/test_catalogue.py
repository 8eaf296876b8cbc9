"""Every feature is declared once and says what it measures; the catalogue's hash changes when a meaning does."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.build import build
from features.catalogue import FAMILIES, Catalogue, catalogue, of_names
from features.catalogue.catalogue import dense_families
from features.catalogue.render import markdown
from features.codes.units import parse
from features.equations import EQUATIONS
from features.errors import PresageError
from features.index import Index
from features.record.record import Record
from features.record.schema import EVENTS

EVERYTHING = catalogue(FAMILIES, polygenic=("SIM-CHD",))


def test_every_name_is_there_once() -> None:
    assert len(set(EVERYTHING.names)) == len(EVERYTHING.names)


@pytest.mark.parametrize("family", dense_families())
def test_every_feature_says_its_unit_and_what_missing_means_and_reads_something(family: str) -> None:
    for spec in catalogue([family]).specs:
        assert spec.family == family
        assert spec.label
        assert spec.missing
        assert spec.codes
        assert parse(spec.unit) is not None, f"{spec.name}: {spec.unit} is not UCUM"
        assert spec.value_unit is None or spec.valid is not None, f"{spec.name} reads values without a plausible range"
        assert all(re.match(r"(<<)?[A-Za-z0-9_]+//.", code) or code.startswith("MEDS_") for code in spec.codes) or (
            spec.aggregate in {"derived", "carrier", "tested"}
        )


def test_a_window_stands_in_the_name() -> None:
    for spec in EVERYTHING.specs:
        if spec.window_days is not None and spec.aggregate != "current":
            assert spec.name.endswith(f"_{spec.window_days}d"), spec.name


def test_the_catalogue_survives_json_and_its_hash_changes_with_a_meaning() -> None:
    full = EVERYTHING.with_vocabulary(["LOINC//2093-3", "ICD10CM//I10"])
    assert Catalogue.from_json(full.to_json()) == full
    assert len(full.hash) == 64
    first, *rest = full.specs
    assert replace(full, specs=(replace(first, window_days=1), *rest)).hash != full.hash
    assert full.with_vocabulary(["ICD10CM//I10"]).hash != full.hash


def test_an_unknown_family_or_feature_is_an_error_that_names_it() -> None:
    with pytest.raises(PresageError, match="demografics"):
        catalogue(["demografics"])
    with pytest.raises(PresageError, match="no_such_feature"):
        of_names(["no_such_feature"])


def test_the_inputs_of_every_equation_are_features() -> None:
    for equation in EQUATIONS.values():
        assert of_names(equation.inputs).names == equation.inputs


def test_an_equation_alone_keeps_its_inputs_out_of_sight() -> None:
    alone = of_names(["prevent_chd_10y_risk"])
    assert alone.names == ("prevent_chd_10y_risk",)
    computed_from = {"creatinine_mg_dl_latest_1825d", "creatinine_mg_dl_days_since"}  # eGFR, where there is none
    assert {spec.name for spec in alone.helpers} == set(EQUATIONS["prevent_chd_10y"].inputs) | computed_from
    cut = catalogue(["demographics", "equations"]).only(["cha2ds2_vasc_points"])
    assert set(EQUATIONS["cha2ds2_vasc"].inputs) == {spec.name for spec in cut.helpers}
    events = Record.in_memory(pa.Table.from_pylist([], schema=EVENTS))
    assert np.isnan(build(Index.at([1], "2020-01-01"), events, catalogue=cut).values).all()


def test_the_page_of_features_is_current() -> None:
    page = Path(__file__).parents[3] / "docs" / "features.md"
    assert page.read_text() == markdown(), "run: presage catalogue --out docs/features.md"
