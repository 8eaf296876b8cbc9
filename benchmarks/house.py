"""The plan of the house in numbers: how each folder hangs together, and how long functions' lists of arguments are.

For every folder of Python code it prints

- files: the modules that lie directly in it, without `__init__.py`; boxes: these and its sub-folders;
- floors: the longest chain of boxes in which each imports the next (boxes of one circle count as one floor);
- circles: groups of two or more boxes that import each other, directly or round about;
- arrows: pairs of boxes (A, B) in which something inside A imports something inside B;
- ground: files of the folder that one of its own sub-folders imports.

Below the table: functions with six or more arguments, functions with more than two arguments that may be given by
position, and names that a module gives to a kind of NumPy array (`self` and `cls` are not counted as arguments).
Imports are read by grimp, functions by `ast`: nothing of what is measured is run. Imports for types only are counted
like any others, and what the door of a folder (`__init__.pyi`) passes on is an import of the folder.

    python benchmarks/house.py                      # the checkout in which this file lies
    python benchmarks/house.py --before OLDER       # beside an older checkout; folders in which a number moved
    python benchmarks/house.py --cpu                # also the CPU seconds of an import and of `presage --help`
"""

from __future__ import annotations

import argparse
import ast
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import grimp

ROOMS = ("features", "training", "serving")
HERE = Path(__file__).resolve().parents[1]
MANY_ARGUMENTS, MANY_POSITIONAL = 6, 2
HELP = "import sys; sys.argv[1:] = ['--help']; from serving.cli import main; main()"
STARTS = {
    "`from training.bundle import load`, CPU seconds": "from training.bundle import load",
    "`presage --help`, CPU seconds": HELP,
}
REPEATS = 5
Arrows = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder's plan. See the module's first lines for what is counted."""

    files: int
    boxes: int
    floors: int
    circles: int
    arrows: int
    ground: int


@dataclass(frozen=True, slots=True)
class House:
    """One checkout: its folders by name (`training/cohort`), and its totals by what they count."""

    folders: dict[str, Folder]
    totals: dict[str, int]


def reached(arrows: Arrows, start: str) -> frozenset[str]:
    """All boxes that `start` imports, directly or round about; itself only where it is in a circle."""
    seen: set[str] = set()
    ahead = list(arrows[start])
    while ahead:
        box = ahead.pop()
        if box not in seen:
            seen.add(box)
            ahead.extend(arrows[box])
    return frozenset(seen)


def floors_and_circles(arrows: Arrows) -> tuple[int, int]:
    """The longest chain of boxes, circles taken as one box, and the number of circles."""
    below = {box: reached(arrows, box) for box in arrows}
    circle = {box: frozenset(other for other in below[box] if box in below[other]) | {box} for box in arrows}
    heights: dict[frozenset[str], int] = {}

    def height(group: frozenset[str]) -> int:
        if group not in heights:
            under = {circle[other] for box in group for other in arrows[box]} - {group}
            heights[group] = 1 + max(map(height, under), default=0)
        return heights[group]

    groups = set(circle.values())
    return max(map(height, groups), default=0), sum(len(group) > 1 for group in groups)


def arrows_between(imports: grimp.ImportGraph, boxes: Mapping[str, frozenset[str]]) -> Arrows:
    """Which box imports which: boxes by name, each with the modules inside it."""
    box_of = {module: box for box, modules in boxes.items() for module in modules}
    return {
        box: frozenset(
            box_of[imported]
            for module in modules
            for imported in imports.find_modules_directly_imported_by(module)
            if imported in box_of
        )
        - {box}
        for box, modules in boxes.items()
    }


def folder_of(imports: grimp.ImportGraph, package: str) -> Folder:
    """The plan of one folder: every file and every sub-folder in it is a box."""
    children = imports.find_children(package)
    boxes = {child: frozenset({child, *imports.find_descendants(child)}) for child in children}
    arrows = arrows_between(imports, boxes)
    floors, circles = floors_and_circles(arrows)
    files = {child for child in children if not imports.find_children(child)}
    below = {imported for child in children - files for imported in arrows[child]}
    return Folder(len(files), len(children), floors, circles, sum(map(len, arrows.values())), len(files & below))


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool]]:
    """Every function of a module, with whether it is a method that takes `self` or `cls`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            positional = [*node.args.posonlyargs, *node.args.args]
            yield node, bool(positional) and positional[0].arg in {"self", "cls"}


def array_alias(node: ast.stmt) -> bool:
    """Whether a statement gives a name to a kind of NumPy array: `Floats = npt.NDArray[np.float64]`."""
    return isinstance(node, ast.Assign) and ast.unparse(node.value).split("[")[0] in {"npt.NDArray", "NDArray"}


def totals_of(checkout: Path) -> dict[str, int]:
    """What is counted over all functions and statements of the rooms."""
    many = positional = aliases = files = 0
    for path in sorted(file for room in ROOMS for file in (checkout / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        files += 1
        aliases += sum(map(array_alias, tree.body))
        for function, is_method in functions(tree):
            by_position = len(function.args.posonlyargs) + len(function.args.args) - is_method
            many += by_position + len(function.args.kwonlyargs) >= MANY_ARGUMENTS
            positional += by_position > MANY_POSITIONAL
    return {
        "files, with `__init__.py`": files,
        f"functions with {MANY_ARGUMENTS} or more arguments": many,
        f"functions with more than {MANY_POSITIONAL} positional arguments": positional,
        "names for kinds of arrays": aliases,
    }


def measure(checkout: Path) -> House:
    """Read one checkout. In a process of its own, as a room can be imported from one place only."""
    sys.path.insert(0, str(checkout))
    imports = grimp.build_graph(*ROOMS, cache_dir=None)
    packages = sorted(module for module in imports.modules if imports.find_children(module))
    folders = {package.replace(".", "/"): folder_of(imports, package) for package in packages}
    return House(folders, totals_of(checkout))


def cpu_seconds(checkout: Path, code: str) -> float:
    """The median CPU time, user and system, of a fresh interpreter that runs `code` in a checkout; warm files."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the first start compiles, and is not counted
    interpreter = checkout / ".venv" / "bin" / "python"
    command = [str(interpreter) if interpreter.is_file() else sys.executable, "-c", code]
    seconds = []
    for _ in range(REPEATS + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(seconds[1:])


def row(*cells: object) -> str:
    """One line of a table in Markdown."""
    return "| " + " | ".join(map(str, cells)) + " |"


def tables(houses: list[House], starts: Mapping[str, list[float]]) -> Iterator[str]:
    """Lines of Markdown: a row per folder, a cell per number, in which checkouts stand side by side (before → now).

    Of two checkouts only the folders are shown in which a number moved.
    """
    head = ("folder", "files", "boxes", "floors", "circles", "arrows", "ground")
    yield from (row(*head), row("---", *["---:"] * (len(head) - 1)))
    for name in sorted({folder for house in houses for folder in house.folders}):
        plans = [house.folders.get(name) for house in houses]
        if len(plans) > 1 and len(set(plans)) == 1:
            continue
        cells = ([getattr(plan, key) if plan else "-" for plan in plans] for key in head[1:])
        yield row(f"`{name}`", *(" → ".join(map(str, cell)) for cell in cells))
    yield ""
    yield from (row("over all rooms", ""), row("---", "---:"))
    for key in houses[0].totals:
        yield row(key, " → ".join(str(house.totals[key]) for house in houses))
    for key, seconds in starts.items():
        yield row(key, " → ".join(f"{value:.2f}" for value in seconds))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="an older checkout, to stand beside this one")
    parser.add_argument(
        "--cpu", action="store_true", help="also measure imports, with each checkout's .venv if it has one"
    )
    asked = parser.parse_args()
    checkouts = [*([asked.before.resolve()] if asked.before else []), HERE]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as one_at_a_time:
        houses = list(one_at_a_time.map(measure, checkouts))
    starts = {key: [cpu_seconds(checkout, code) for checkout in checkouts] for key, code in STARTS.items()}
    print("\n".join(tables(houses, starts if asked.cpu else {})))


if __name__ == "__main__":
    main()
