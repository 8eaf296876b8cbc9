"""The places where this installation keeps its things: home folder, store, secret, record.

Read from the environment, at the door.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

from features.errors import PresageError
from features.home import presage_home


@dataclass(frozen=True, slots=True)
class Settings:
    """home: folder of the embedded store and the signing secret. secure_cookies: sign-in only travels over TLS."""

    home: Path
    store_url: str
    record: Path | None = None
    secure_cookies: bool = False

    @classmethod
    def from_environment(cls) -> Settings:
        """PRESAGE_HOME (./.presage), PRESAGE_STORE_URL (SQLite in home), PRESAGE_RECORD, PRESAGE_SECURE_COOKIES."""
        home = presage_home()
        record = os.environ.get("PRESAGE_RECORD")
        return cls(
            home=home,
            store_url=os.environ.get("PRESAGE_STORE_URL", f"sqlite:///{home / 'presage.db'}"),
            record=Path(record).absolute() if record else None,
            secure_cookies=os.environ.get("PRESAGE_SECURE_COOKIES") == "true",
        )

    def serving(self, *, record: Path | None, host: str) -> Settings:
        """These settings for a service on `host`: beyond loopback, cookies travel over TLS only."""
        loopback = host == "localhost" or host.startswith("127.") or host == "::1"
        return replace(
            self,
            record=record.absolute() if record is not None else self.record,
            secure_cookies=self.secure_cookies or not loopback,
        )

    def secret(self) -> bytes:
        """The key that signs sessions: PRESAGE_SECRET, or 32 random bytes kept in home, readable by its owner alone."""
        given = os.environ.get("PRESAGE_SECRET")
        if given is not None:
            if len(given) < 32:
                raise PresageError("PRESAGE_SECRET", "32 characters or more", way_out="make one: openssl rand -hex 32")
            return given.encode()
        path = self.home / "secret"
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_bytes()
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
        return path.read_bytes()
