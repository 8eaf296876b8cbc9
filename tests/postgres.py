"""A PostgreSQL server of a test's own, on a socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, whose folder holds its socket and its data; local users are trusted, but for `reader`, who
    needs a password.
    """

    folder: Path

    @property
    def url(self) -> str:
        return self.url_of("presage")

    def url_of(self, user: str, database: str = "postgres") -> str:
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def run(self, tool: str, *arguments: str) -> None:
        """Run a tool of PostgreSQL as its owner: initdb refuses root, so `nobody` does it."""
        as_nobody = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
        subprocess.run([*as_nobody, str(BIN[0] / tool), *arguments], check=True, capture_output=True, cwd="/")

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        log = f"{self.folder}/log"
        self.run("pg_ctl", "--pgdata", f"{self.folder}/data", "--wait", "--log", log, "--options", options, "start")

    def stop(self) -> None:
        """As a power cut does it."""
        self.run("pg_ctl", "--pgdata", f"{self.folder}/data", "--mode", "immediate", "stop")


@contextmanager
def running() -> Iterator[Server]:
    """A server that is gone afterwards; skips the test where PostgreSQL is not on the machine."""
    if not BIN or shutil.which("runuser") is None:
        pytest.skip("PostgreSQL is not on this machine (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="presage-pg-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(folder, "nobody")
    server = Server(folder)
    server.run(
        "initdb", "--pgdata", f"{folder}/data", "--username", "presage", "--auth", "trust", "--no-sync",
        "--encoding", "UTF8", "--locale", "C",
    )  # fmt: skip
    trusted = folder / "data" / "pg_hba.conf"
    trusted.write_text("local all reader scram-sha-256\n" + trusted.read_text())
    server.start()
    try:
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
