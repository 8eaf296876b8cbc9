"""Opening the store: SQLite embedded or PostgreSQL by URL, always at the schema's last step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

from features.errors import PresageError

HEAD = "v0001"
MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 7237  # any number: who upgrades a PostgreSQL store holds it


def open_store(url: str) -> Engine:
    """An engine on a store at the last migration. Raises PresageError where the URL or the database is not usable."""
    engine = _engine(url)
    try:
        if _revision(engine) != HEAD:
            _upgrade(engine)
    except DatabaseError as error:
        raise _unusable(engine, error) from None
    return engine


def _unusable(engine: Engine, error: DatabaseError) -> PresageError:
    if engine.dialect.name == "sqlite":
        return PresageError(
            str(engine.url.database),
            "Presage's store, a SQLite file that can be read and written",
            found=f"what SQLite calls '{error.orig}'",
            way_out="set PRESAGE_HOME to a folder of your own, or PRESAGE_STORE_URL to a database",
        )
    kind = type(error.orig).__name__ if error.orig else None
    return PresageError(
        "PRESAGE_STORE_URL", "a database that answers", found=kind, way_out="check the URL, and whether it runs"
    )


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction: everything inside happens, audit rows included, or nothing does."""
    with engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for questions that write nothing because they look at nobody: it does not wait for a writer."""
    with engine.connect().execution_options(presage_reading=True) as connection, connection.begin():
        yield connection


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise PresageError(
            "PRESAGE_STORE_URL", "an SQLAlchemy URL", way_out="write it as sqlite:////path or postgresql://..."
        ) from None
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    if not parsed.drivername.startswith("sqlite"):
        try:
            return create_engine(parsed, pool_pre_ping=True)
        except ModuleNotFoundError:
            raise PresageError(
                "PRESAGE_STORE_URL",
                "a database whose driver is installed",
                found="one without",
                way_out="install it: pip install 'presage[postgres]'",
            ) from None
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 30})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver must not begin by itself: `_begin_sqlite` does
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that writes (a look writes its audit row) takes the write lock first, so that none can deadlock.
    reads = connection.get_execution_options().get("presage_reading", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
