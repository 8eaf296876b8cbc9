"""Installed from a wheel, Presage is whole: README's own steps lead from sources to a worklist in an empty folder."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("features", "training", "serving")
BESIDE = ("tests", "benchmarks")
NOT_INSTALLED = {".c", ".inc"}  # compiled into features.polygenic._loops
FEWEST = "1000"  # people that `presage simulate` takes
READY_WITHIN_S = 120
BUILD = """
import shutil, sys
from os import chdir
from pathlib import Path
from setuptools.build_meta import build_sdist, build_wheel
unpacked, out = map(Path, sys.argv[1:])
shutil.unpack_archive(unpacked / build_sdist(unpacked), unpacked)
chdir(next(path for path in unpacked.iterdir() if path.is_dir()))
build_wheel(out)
"""


def run(command: Sequence[str | Path], folder: Path) -> str:
    """What a command prints, run in a folder with nothing of this test's environment about it."""
    done = subprocess.run(command, cwd=folder, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def clean() -> dict[str, str]:
    """The environment without what would lead to the checkout, or change what Presage does."""
    foreign = ("PYTHON", "PRESAGE_", "MLFLOW_", "BENTOML_", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout's sources, tests and benchmarks among them, without anything compiled."""
    folder = tmp_path_factory.mktemp("source")
    for name in (*ROOMS, *BESIDE):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", ".*"))
    for path in ROOT.iterdir():
        if path.is_file() and not path.name.startswith("."):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution as an installer without this checkout would build it."""
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        pytest.skip(f"the wheel holds a compiled module, and this machine has no C compiler ({compiler})")
    unpacked, out = tmp_path_factory.mktemp("sdist"), tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-c", BUILD, unpacked, out], source)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment that holds the wheel.

    Presage's dependencies are found in the environment of the tests, so that no package index is needed. A path file
    names it: unlike a folder of sites it runs no path files of its own, so that an editable install stays out of sight.
    """
    folder = tmp_path_factory.mktemp("environment") / "venv"
    run([sys.executable, "-m", "venv", folder], folder.parent)
    python = folder / "bin" / "python"
    run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel], folder.parent)
    ours = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder.parent).strip())
    theirs = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    (ours / "dependencies.pth").write_text("".join(f"{path}\n" for path in theirs))
    return folder / "bin"


def steps() -> list[list[str]]:
    """The commands of README's "step by step", for as few people as can be simulated; the last of them serves."""
    block = (ROOT / "README.md").read_text().split("## The same, step by step")[1].split("```sh\n")[1].split("```")[0]
    found = [shlex.split(line, comments=True) for line in block.replace("\\\n", " ").splitlines()]
    return [[FEWEST if word == "20000" else word for word in command] for command in found]


@pytest.fixture(scope="module")
def walked(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was empty, after README's steps before the last."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for program, *arguments in steps()[:-1]:
        run([installed / program, *arguments], folder)
    return folder


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(source: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    expected = {
        path.relative_to(source).as_posix()
        for room in ROOMS
        for path in (source / room).rglob("*")
        if path.is_file() and path.suffix not in NOT_INSTALLED
    }
    expected |= {path.name for path in source.glob("*.py")}
    metadata = {name for name in held if name.split("/")[0].endswith(".dist-info")}
    assert expected - held == set()
    compiled = held - expected - metadata
    assert [name.split(".")[0] for name in compiled] == ["features/polygenic/_loops"]


def test_what_is_imported_is_the_installed_presage_and_not_the_checkout(installed: Path, tmp_path: Path) -> None:
    program = f"import {', '.join(ROOMS)}, sys; print(*({'.__file__, '.join(ROOMS)}.__file__), *sys.path, sep='\\n')"
    found = [Path(line) for line in run([installed / "python", "-P", "-c", program], tmp_path).splitlines()]
    assert all(path.is_relative_to(installed.parent) for path in found[: len(ROOMS)])
    assert ROOT not in found
    assert not tmp_path.is_relative_to(ROOT)


def test_the_python_api_is_whole_and_says_what_is_in_its_way(installed: Path, tmp_path: Path) -> None:
    program = (
        "import presage as ps; print(ps.__file__); print(ps.Study.read('chd-10y')); "
        "print(len(ps.catalogue()), *ps.studies().index)"
    )
    where, study, names = run([installed / "python", "-c", program], tmp_path).splitlines()
    assert Path(where).is_relative_to(installed.parent)
    assert study.startswith("<Study chd-10y of a record")
    assert "t2d-5y" in names
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "__init__.py").touch()
    told = subprocess.run(
        [installed / "python", "-c", program], cwd=tmp_path, env=clean(), capture_output=True, text=True, check=False
    )
    assert f"ImportError: presage: {tmp_path / 'features'} hides Presage's own package" in told.stderr


def test_the_steps_of_readme_work_with_an_installed_presage_in_an_empty_folder(walked: Path, installed: Path) -> None:
    assert (walked / "demo" / "chd-10y-report.html").stat().st_size > 10_000
    assert (walked / "demo" / "scores.parquet").is_file()
    (program, *arguments) = steps()[-1]
    assert arguments[0] == "serve"
    with serving([installed / program, *arguments], walked) as address:
        assert httpx.get(f"{address}/readyz").json() != {}
        page = httpx.get(f"{address}/sign-in")
        assert page.status_code == 200
        assert httpx.get(f"{address}/static/htmx.min.js").status_code == 200


@contextmanager
def serving(command: Sequence[str | Path], folder: Path) -> Iterator[str]:
    """The address of a service that says it is ready; it ends with the block, as its scheduler would end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "serve.log"
    with log.open("w") as output:
        service = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, env=clean(), stdout=output, stderr=output
        )
    address, started = f"http://127.0.0.1:{port}", time.monotonic()
    try:
        while not ready(address):
            assert service.poll() is None, log.read_text()
            assert time.monotonic() - started < READY_WITHIN_S, log.read_text()
            time.sleep(0.2)
        yield address
    finally:
        service.terminate()
        service.wait(30)


def ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_a_study_trained_by_name_and_its_copy_give_bundles_of_the_same_bytes(walked: Path, installed: Path) -> None:
    (train,) = (command for command in steps() if command[1] == "train")
    assert train[2] == "chd-10y"
    run([installed / "presage", "init", "chd-10y"], walked)
    again = [*train[1:2], "chd-10y/study.toml", *train[3:-1], "demo/copy.json"]
    run([installed / "presage", *again], walked)
    by_name, by_path = (
        json.loads((walked / "demo" / name).read_text())["registered"] for name in ("chd.json", "copy.json")
    )
    assert by_name["version"] != by_path["version"]
    assert by_name["digest"] == by_path["digest"]
