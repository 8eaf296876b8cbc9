"""What is amiss is said before the service loads or answers anything."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from features.errors import PresageError
from serving.service import serve
from serving.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", store_url=f"sqlite:///{tmp_path / 'home' / 'presage.db'}")


def test_a_record_that_is_none_is_refused_at_the_start(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(PresageError, match=r"expected the folder of a record, found no data/\*\.parquet in it"):
        serve(replace(settings, record=tmp_path), host="127.0.0.1", port=3999)


def test_a_port_that_is_taken_and_a_host_that_is_none_are_refused(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            PresageError,
            match=rf"127\.0\.0\.1:{port}: expected .* free here, found address already in use \(choose another --port",
        ):
            serve(settings, host="127.0.0.1", port=port)
    with pytest.raises(PresageError, match="--host: expected an address of this machine, found no such host"):
        serve(settings, host="no such host", port=port)


def test_a_short_secret_is_refused_at_the_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESAGE_SECRET", "short")
    with pytest.raises(PresageError, match="PRESAGE_SECRET: expected 32 characters or more"):
        serve(settings, host="127.0.0.1", port=0)
