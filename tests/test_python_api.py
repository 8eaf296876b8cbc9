"""The Python API: its page runs from top to bottom, every name has an example, and what it takes and gives."""

from __future__ import annotations

import doctest
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import presage as ps
from features.arguments import index_of, moment_of, moments_of, subjects_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = ("FeatureFrame", "Cohort", "Scores", "Training", "Bundle", "Record", "Study", "RiskCurves")


def blocks() -> list[tuple[int, str]]:
    """The page's blocks, each with the number of lines before it."""
    text = PAGE.read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)), found.group(1)) for found in BLOCK.finditer(text)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What stands in the page's name space at its end, in the folder it ran in. A fault names the line of the page."""
    folder = tmp_path_factory.mktemp("page")
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PRESAGE_HOME", str(folder / "home"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for before, block in blocks():
            exec(compile("\n" * before + block, str(PAGE), "exec"), names)
        yield names


def python(code: str, folder: Path, *, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    """Run this in a fresh Python in a folder, which it looks into first, as a notebook's does."""
    environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


# The page and its examples


def test_the_page_runs_from_top_to_bottom(page: dict[str, Any]) -> None:
    assert page["ps"] is ps
    auc = page["numbers"].query("metric == 'auc'").set_index("model")["value"]
    assert auc["forest minus cox"] == pytest.approx(auc["forest"] - auc["cox"])


def test_every_example_in_a_docstring_is_right(page: dict[str, Any]) -> None:
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    found = [test for test in finder.find(ps, "presage", extraglobs=page) if test.examples]
    assert len(found) >= 20
    for test in sorted(found, key=lambda test: test.lineno or 0):
        told: list[str] = []
        runner.run(test, out=told.append)
        assert not told, "".join(told)


def test_every_name_has_an_example(page: dict[str, Any]) -> None:
    shown = "\n".join(block for _, block in blocks())
    for name in ps.__all__:
        own = inspect.getdoc(getattr(ps, name)) or ""
        assert ">>>" in own or f"ps.{name}" in shown or f"ps.{name}" in PAGE.read_text(), name
        assert own or name == "__version__"
    assert 25 <= len(ps.__all__) <= 35


def test_every_name_is_listed_by_completion_and_described_in_the_pages_table() -> None:
    listed = PAGE.read_text(encoding="utf-8").split("## All names")[1]
    assert sorted(ps.__all__) == dir(ps)
    for name in ps.__all__:
        assert f"ps.{name}" in listed, name


def test_what_a_name_is_not_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'traain'"):
        _ = ps.traain


# Importing


def test_importing_it_loads_no_room_and_no_library(tmp_path: Path) -> None:
    told = python(
        "import sys; before = set(sys.modules); import presage; "
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(names - sys.stdlib_module_names))",
        tmp_path,
    )
    assert told.stdout.strip() == "['presage']", told.stderr


@pytest.mark.parametrize("room", ["features", "training", "serving"])
@pytest.mark.parametrize("kind", ["package", "file"])
def test_a_name_in_the_way_is_named_with_the_way_out(tmp_path: Path, room: str, kind: str) -> None:
    place = tmp_path / room / "__init__.py" if kind == "package" else tmp_path / f"{room}.py"
    place.parent.mkdir(exist_ok=True)
    place.write_text("raise RuntimeError('a file of the user that must not be run')\n")
    told = python("import presage", tmp_path)
    last = told.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: presage: ")
    assert str(tmp_path / room) in last
    assert last.endswith("(give it another name, or start Python from another folder)")


EDITABLE = """
import importlib.util, sys
class Finder:  # as an editable install has it: behind the folders of sys.path
    def find_spec(self, name, path=None, target=None):
        if name == "presage":
            return importlib.util.spec_from_file_location(name, r"{root}/presage.py")
        if name in ("features", "training", "serving"):
            return importlib.util.spec_from_file_location(name, r"{root}/" + name + "/__init__.py")
sys.path = [each for each in sys.path if each != r"{root}" and "__editable__" not in each]
sys.meta_path = [each for each in sys.meta_path if "editable" not in str(each).lower()] + [Finder()]
import presage
"""


def test_a_folder_without_an_init_hides_an_editable_install_and_is_named_too(tmp_path: Path) -> None:
    clear = python(EDITABLE.format(root=ROOT), tmp_path, path="")
    assert clear.returncode == 0, clear.stderr
    (tmp_path / "features").mkdir()
    told = python(EDITABLE.format(root=ROOT), tmp_path, path="")
    assert f"presage: {tmp_path / 'features'} hides Presage's own package 'features'" in told.stderr


def test_nothing_in_the_rooms_imports_the_door() -> None:
    importing = re.compile(r"^\s*(import|from) presage\b", re.MULTILINE)
    rooms = [path for room in ("features", "training", "serving") for path in (ROOT / room).rglob("*.py")]
    assert [path for path in rooms if importing.search(path.read_text(encoding="utf-8"))] == []


# What it takes


@pytest.mark.parametrize(
    "day",
    [
        "2024-12-31",
        "2024-12-31T00:00",
        date(2024, 12, 31),
        datetime.fromisoformat("2024-12-31"),
        np.datetime64("2024-12-31"),
        np.datetime64("2024-12-31T00:00:00.000000000"),
        pd.Timestamp("2024-12-31"),
    ],
)
def test_a_day_may_be_given_in_every_usual_way(day: Any) -> None:
    assert moment_of(day) == datetime.fromisoformat("2024-12-31")
    for many in ([day, day], pd.Series([day, day]), np.array([day, day])):
        assert moments_of(many).tolist() == [datetime.fromisoformat("2024-12-31")] * 2


@pytest.mark.parametrize(
    "day",
    [
        "31.12.2024",
        "",
        "2024-12-31T00:00Z",
        pd.Timestamp("2024-12-31", tz="UTC"),
        pd.NaT,
        np.datetime64("NaT"),
        20241231,
        None,
    ],
)
def test_what_is_no_local_day_is_refused(day: Any) -> None:
    for given in (day, [day]):
        with pytest.raises(ps.PresageError, match="as_of: "):
            moments_of(given)


@pytest.mark.parametrize(
    "ids",
    [
        [3, 1, 2],
        (3, 1, 2),
        np.array([3, 1, 2], dtype=np.int32),
        np.array([3, 1, 2], dtype=np.uint64),
        pd.Series([3, 1, 2], index=[7, 8, 9]),
        pd.Series([3, 1, 2], dtype="Int64"),
        pd.Index([3, 1, 2]),
        np.array([3, 1, 2], dtype=object),
    ],
)
def test_subject_ids_may_be_any_sequence_of_whole_numbers(ids: Any) -> None:
    found = subjects_of(ids)
    assert found.dtype == np.int64
    assert found.tolist() == [3, 1, 2]


@pytest.mark.parametrize("ids", [[1.0, 2.0], ["1"], [True], [[1], [2]], pd.Series([1, None]), [1, "2"]])
def test_what_are_no_whole_numbers_are_refused_as_subject_ids(ids: Any) -> None:
    with pytest.raises(ps.PresageError, match="subject_ids: expected whole numbers"):
        subjects_of(ids)


def test_people_are_looked_at_at_one_moment_or_each_at_their_own() -> None:
    assert index_of(range(3), "2024-12-31").as_of.tolist() == [datetime.fromisoformat("2024-12-31")] * 3
    assert index_of([5], ["2024-12-31"]).subject_ids.tolist() == [5]
    with pytest.raises(
        ps.PresageError, match="as_of: expected one moment, or one for each of the 3 subject ids, found 2"
    ):
        index_of(range(3), ["2024-12-31", "2025-12-31"])


def test_a_record_may_be_its_folder_or_opened_and_people_it_does_not_know_are_refused(page: dict[str, Any]) -> None:
    people = page["people"]
    frames = [
        ps.features(record, people[:20], as_of="2014-06-01", names=["age_years"])
        for record in (page["record"], "record", Path("record"))
    ]
    for frame in frames:
        np.testing.assert_array_equal(frame.values, frames[0].values)
    with pytest.raises(
        ps.PresageError, match=r"subject_ids: expected people of whom the record holds an event, found 1 of 2"
    ):
        ps.features("record", [people[0], 10**9], as_of="2014-06-01")
    with pytest.raises(ps.PresageError, match=r"names: expected features .* found 'age_yaers' \(write 'age_years'"):
        ps.features("record", people[:2], as_of="2014-06-01", names=["age_yaers"])


def test_a_bundles_catalogue_gives_the_frame_that_the_bundle_asks_for(page: dict[str, Any]) -> None:
    bundle = ps.bundle("chd-10y")
    frame = ps.features("record", page["people"][:50], as_of="2015-01-01", catalogue=bundle.catalogue())
    assert set(bundle.names) <= set(frame.names)
    by_score = ps.score("chd-10y", "record", as_of="2015-01-01").to_pandas().set_index("subject_id")
    own = bundle.risk(frame).to_pandas().assign(subject_id=frame.subject_ids).set_index("subject_id")
    both = pd.DataFrame({"own": own["risk_3650d"], "scored": by_score["risk_3650d"]}).dropna()
    assert len(both) > 5
    np.testing.assert_allclose(both["own"], both["scored"], rtol=1e-12)


def test_the_codes_family_learns_its_vocabulary_on_the_rows_asked_for(page: dict[str, Any]) -> None:
    frame = ps.features("record", page["people"][:200], as_of="2014-06-01", families=["codes"])
    assert frame.codes is not None
    table = frame.to_pandas(codes=True)
    assert table.shape == (200, len(frame.code_names))
    name = frame.code_names[0]
    np.testing.assert_array_equal(table[name].to_numpy(), frame.codes[:, [0]].toarray().ravel())


# What it gives


def test_frames_are_the_arrays_with_levels_by_name() -> None:
    moments = np.array(["2025-01-01", "2025-01-02"], "datetime64[us]")
    values = np.array([[1.5, np.nan], [np.nan, 1.0]], np.float32)
    frame = ps.FeatureFrame(np.array([4, 9]), moments, ("dose", "arm"), values, {"arm": ("a", "b")})
    table = frame.to_pandas()
    assert table.index.names == ["subject_id", "as_of"]
    assert table.index.get_level_values("subject_id").tolist() == [4, 9]
    assert table["dose"].tolist()[0] == 1.5
    assert table["arm"].tolist()[1] == "b"
    assert table.isna().to_numpy().tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"as_of": np.array(["2025-01-01"], "datetime64[us]")},
        {"as_of": np.array(["2025-01-01", "2025-01-02"], "datetime64[ns]")},
        {"names": ("dose",)},
        {"values": np.zeros((3, 2), np.float32)},
        {"code_names": ("X",)},
    ],
)
def test_a_frame_whose_shapes_do_not_agree_cannot_be_made(wrong: dict[str, Any]) -> None:
    from scipy import sparse

    given: dict[str, Any] = {
        "subject_ids": np.array([4, 9]),
        "as_of": np.array(["2025-01-01", "2025-01-02"], "datetime64[us]"),
        "names": ("dose", "arm"),
        "values": np.zeros((2, 2), np.float32),
        "codes": sparse.csr_matrix(np.zeros((2, 0), np.float32)),
    }
    ps.FeatureFrame(**given)
    with pytest.raises(ValueError, match=r"a feature frame has|as_of is|values are|codes are"):
        ps.FeatureFrame(**given | wrong)


def test_nobodys_values_are_in_what_a_notebook_shows(page: dict[str, Any]) -> None:
    scored = ps.score("chd-10y", "record", as_of="2024-12-31")
    curves = ps.RiskCurves((365.0,), np.array([[0.123456]] * 5000))
    results = [page["frame"], page["cohort"], page["found"], page["bundle"], page["record"], page["lymphoma"], scored]
    results += [curves, page["elsewhere"], page["decided"], page["report"], page["shipped"]]
    for result in results:
        line = repr(result)
        assert len(line) < 400, line
        assert line.startswith("<")
        assert "\n" not in line
        if type(result).__name__ in (*SHOWN, "External", "Promotion", "IngestReport"):
            html = result._repr_html_() if hasattr(result, "_repr_html_") else ""
            assert len(html) < 30_000
            assert "P0001" not in html
            assert "0.123456" not in html


def test_scores_are_what_the_file_holds(page: dict[str, Any], tmp_path: Path) -> None:
    scored = ps.score("chd-10y", "record", as_of=np.datetime64("2024-12-31"), out=tmp_path / "scores.parquet")
    again = ps.Scores.read(tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(scored.to_pandas(), again.to_pandas())
    table = scored.to_pandas()
    assert table["risk_3650d"].notna().eq(table["not_scored"].isna()).all()
    assert (table["as_of"] == pd.Timestamp("2024-12-31")).all()


def test_flags_are_the_same_from_scores_and_from_their_file(
    page: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = ps.score("chd-10y", "record", as_of="2024-12-31", out=tmp_path / "scores.parquet")
    monkeypatch.setenv("PRESAGE_STORE_URL", f"sqlite:///{tmp_path / 'presage.db'}")
    first = ps.flag(scored, "chd-10y", record="record")
    second = ps.flag(tmp_path / "scores.parquet", "chd-10y", record=ps.Record.open("record"))
    assert first.listed > 0
    assert second.repeated
    assert second.settled.raised == 0


def test_settings_of_a_polygenic_run_are_keywords_and_their_ranges_are_kept(page: dict[str, Any]) -> None:
    genotypes, scores = page["source"] / "genotypes" / "genotypes.pgen", page["scores"]
    usual = ps.prs(genotypes, scores)
    assert usual.scored.scores[0].not_scored is None
    wrongs: list[dict[str, Any]] = [{"min_overlap": 1.5}, {"threads": 0}, {"max_memory_mb": 1}]
    for wrong in wrongs:
        with pytest.raises(ps.PresageError, match=f"settings, {next(iter(wrong))}: expected "):
            ps.prs(genotypes, scores, **wrong)
    with pytest.raises(TypeError, match="min_overlapp"):
        ps.prs(genotypes, scores, min_overlapp=0.5)  # type: ignore[call-arg]


def test_models_are_listed_with_their_aliases(page: dict[str, Any]) -> None:
    table = ps.models()
    champions = table[table["alias"] == "champion"].set_index("model").to_dict("index")
    assert {"chd-10y", "lymphoma"} <= set(champions)
    assert ps.bundle("lymphoma").digest == ps.bundle("lymphoma", champions["lymphoma"]["version"]).digest
    assert ps.bundle("lymphoma").digest == ps.bundle(champions["lymphoma"]["run_id"]).digest
    assert table.groupby("model")["version"].is_monotonic_increasing.all()


def test_polygenic_scores_are_the_same_in_memory_and_in_a_file(page: dict[str, Any], tmp_path: Path) -> None:
    genotypes = page["source"] / "genotypes" / "genotypes.pgen"
    here = ps.prs(str(genotypes), [str(score) for score in page["scores"]])
    there = ps.prs(genotypes, page["scores"], out=tmp_path / "scores.parquet")
    pd.testing.assert_frame_equal(here.to_pandas(), pd.read_parquet(tmp_path / "scores.parquet"))
    assert here.report() == there.report()
    assert str(there).startswith(str(here))
    assert str(tmp_path / "scores.parquet") in str(there)
