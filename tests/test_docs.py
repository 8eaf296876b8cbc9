"""Documents name what is there: links, code, tests, stages, contracts; and say where a change belongs."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
DEVELOPING = ROOT / "docs" / "DEVELOPING.md"
GLOSSARY = ROOT / "docs" / "GLOSSARY.md"
DOCUMENTS = sorted(
    path for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")) if path.is_file()
)
ROOMS = ("features", "training", "serving")
# What in backticks is a path of the repository: `training/study.py`, `features/sources/`, `tests/...py::test_...`.
OURS = re.compile(r"`((?:features|training|serving|tests|benchmarks|docs|notebooks)/[\w./*{},-]*)(?:::(\w+))?`")
CONTRACTS = 11

# Changes as somebody new to the code would name them, and the folder or file where each was found by reading the code.
COLD_READER = {
    "a new source of clinical data": "features/sources/",
    "a new laboratory format": "features/findings/",
    "a new genotype format": "features/polygenic/genotypes/",
    "a new feature": "features/catalogue/",
    "a new published equation": "features/equations/",
    "a new learner": "training/learners/",
    "a new metric": "training/evaluation/",
    "a new drift number": "training/elsewhere/",
    "a new study": "training/studies/",
    "a new policy rule": "serving/flagging/",
    "a new page": "serving/web/",
    "a new command, or an option": "serving/cli/",
    "a new API endpoint": "serving/api.py",
    "a migration of the store": "serving/store/migrations/versions/",
    "a benchmark": "benchmarks/",
    "a test": "tests/",
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def named_paths(document: Path) -> list[tuple[str, str]]:
    """Paths that a document names in backticks, each with the test that stands behind `::`, else an empty string."""
    return [(path, test) for path, test in OURS.findall(document.read_text(encoding="utf-8"))]


def spelt_out(path: str) -> list[str]:
    """`a/{b,c}.py` as `a/b.py` and `a/c.py`."""
    choice = re.search(r"\{([^}]*)\}", path)
    if choice is None:
        return [path]
    return [path[: choice.start()] + name + path[choice.end() :] for name in choice[1].split(",")]


def is_there(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/"))) if "*" in path else (ROOT / path).exists()


def tables_of(document: Path) -> list[list[list[str]]]:
    """Tables of a document, each a list of rows, each a list of cells; without the line below the head."""
    tables: list[list[list[str]]] = [[]]
    for line in document.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if not all(set(cell) <= set(":- ") for cell in cells):
                tables[-1].append(cells)
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


def anchors_of(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_inside_the_repository_leads_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        page = document.parent / path if path else document
        if not page.exists() or (anchor and anchor not in anchors_of(page)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    paths = [spelt for path, _ in named_paths(document) for spelt in spelt_out(path)]
    assert not [path for path in paths if "NNNN" not in path and not is_there(path)]


def test_every_test_that_a_document_names_is_there() -> None:
    missing = []
    for document in DOCUMENTS:
        for path, test in named_paths(document):
            if test and not re.search(rf"^def {test}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE):
                missing.append(f"{path}::{test}")
    assert not missing


@pytest.mark.parametrize("change", COLD_READER)
def test_a_cold_reader_finds_the_one_folder_of_a_change(change: str) -> None:
    rows = [row for table in tables_of(DEVELOPING) for row in table if row[0] == change]
    assert [row[1] for row in rows] == [f"`{COLD_READER[change]}`"]
    assert (ROOT / COLD_READER[change]).exists()


def test_every_change_has_one_folder_and_it_is_there() -> None:
    changes = next(table for table in tables_of(DEVELOPING) if table[0][0] == "change")[1:]
    assert len(changes) >= len(COLD_READER)
    assert not [
        row for row in changes if not re.fullmatch(r"`[\w./]+`", row[1]) or not (ROOT / row[1].strip("`")).exists()
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_the_stages_of_the_plan_are_those_of_the_import_contracts(room: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract.get("containers") == [room]]
    (table,) = [table for table in tables_of(ARCHITECTURE) if table[0][0] == room]
    planned = [set(re.findall(r"`(\w+)`", row[0])) for row in table[1:]]
    assert planned == [set(re.findall(r"\w+", layer)) for layer in reversed(layers)]


def test_every_contract_that_is_cited_stands_in_the_architecture() -> None:
    written = {
        int(number) for number in re.findall(r"^\*\*(\d+)\. ", ARCHITECTURE.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert written == set(range(1, CONTRACTS + 1))
    places = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")] + DOCUMENTS
    cited = {
        int(number) for path in places for number in re.findall(r"[Cc]ontract (\d+)", path.read_text(encoding="utf-8"))
    }
    assert cited
    assert cited <= written


def test_every_contract_says_which_test_holds_it() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    section = text[text.index("## Contracts") : text.index("## The record")]
    for contract in re.split(r"^\*\*\d+\. ", section, flags=re.MULTILINE)[1:]:
        assert OURS.search(contract[contract.index("- Held by") :])


def test_the_glossary_is_alphabetical_and_says_where_each_word_lives() -> None:
    entries = re.findall(
        r"^\*\*(.+?)\.\*\*(.*?)(?=\n\n\*\*|\Z)", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    words = [re.split(r"[,(]", name)[0].strip().casefold().replace("-", " ") for name, _ in entries]
    assert words == sorted(words)
    assert len(set(words)) == len(words)
    homeless = [name for name, text in entries if not OURS.search(text) and "architecture.md" not in text]
    assert not homeless


def test_readme_leads_to_the_documents_for_whoever_changes_the_code() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for document in (ARCHITECTURE, DEVELOPING, GLOSSARY):
        assert f"({name_of(document)})" in readme
    assert "(GLOSSARY.md)" in DEVELOPING.read_text(encoding="utf-8")


def test_the_quick_subset_is_made_of_tests_that_are_there() -> None:
    planned = subprocess.run(["make", "-n", "quick"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (command,) = [line for line in planned.splitlines() if "not slow" in line]
    paths = [word for word in command.split() if word.startswith("tests/")]
    assert len(paths) > 10
    assert not [path for path in paths if not any(ROOT.glob(path))]


def test_every_decision_has_its_own_number_and_a_title_that_is_a_sentence() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        title = page.read_text(encoding="utf-8").splitlines()[0]
        assert title.startswith("# ")
        assert len(title.split()) > 3


def test_every_stage_says_what_it_promises() -> None:
    silent = []
    for room in ROOMS:
        for door in (ROOT / room).rglob("__init__.py"):
            promise = ast.get_docstring(ast.parse(door.read_text(encoding="utf-8"))) or ""
            if len(promise.split()) < 4:
                silent.append(name_of(door))
    assert not silent


def examples() -> list[str]:
    """Modules of the rooms that show an example in a docstring. Those of `presage.py` need data, which
    `tests/test_python_api.py` makes for them.
    """
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    shown = [path for path in files if ">>> " in path.read_text(encoding="utf-8")]
    return [name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in shown]


@pytest.mark.parametrize("module", examples())
def test_an_example_in_a_docstring_gives_what_it_shows(module: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(module))
    assert tried
    assert not failed
