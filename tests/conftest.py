"""Where tests find real data, and what a machine may lack."""

from __future__ import annotations

import atexit
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.postgres import Server, running

REAL_DATA = Path(os.environ.get("PRESAGE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@atexit.register
def _end_with_the_summary() -> None:
    """Nothing is printed once Python has ended: DuckDB's module lists there what it still holds (nanobind's leaks)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that use it carry the marker `realdata`."""
    return REAL_DATA


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server that the tests of this run share."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Server) -> str:
    return postgres.url


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if REAL_DATA.is_dir():
        return
    skip = pytest.mark.skip(reason="the real data sets are not on this machine (set PRESAGE_DATA)")
    for item in items:
        if "realdata" in item.keywords:
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A machine may lack plink2, Chromium or the real data; CI lacks nothing, so there a skip is a failure."""
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
    return report
