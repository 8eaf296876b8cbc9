"""Which schema of a database holds the tables of a CDM, and which its vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from features.errors import PresageError
from features.sources.omop.cdm import VOCABULARY_COLUMNS

_URL = ("postgresql:", "postgres:")
_SECRET = re.compile(r"^[a-z0-9+.-]+:/+([^/?#@]*:.*@|.*[?&](ssl)?password=)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A table of a database. readable: whether its user may read it."""

    schema: str
    table: str
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """The schema of the clinical tables and that of the vocabulary, where the user names them."""

    schema: str | None = None
    vocabulary: str | None = None


def is_url(source: Path | str) -> bool:
    """Whether a source is a database server's URL.

    >>> is_url("postgresql://me@host/cdm"), is_url("folder/cdm")
    (True, False)
    """
    return str(source).startswith(_URL)


def called(source: Path | str) -> str:
    """A source as errors name it: of a URL the host and the database, without the user and whatever else it says.

    >>> called("postgresql://me@host:5432/cdm?sslmode=require")
    'postgresql://host:5432/cdm'
    """
    if not is_url(source):
        return str(source)
    return re.sub(r"^postgres(ql)?:/+([^/]*@)?([^?#]*).*$", r"postgresql://\3", str(source))


def without_password(source: str) -> str:
    """A source as it is given. Raises PresageError for a URL with a password in it: everybody on the machine can read a
    command line, and what is written there comes to stand in logs.

    >>> without_password("postgresql://me@host/cdm")
    'postgresql://me@host/cdm'
    """
    if _SECRET.match(source):
        raise PresageError(
            "SOURCE",
            "a URL without a password",
            found="one with it",
            way_out="leave it out, as others can read a command line; set PGPASSWORD, or add a line to ~/.pgpass",
        )
    return source


def chosen(places: Iterable[Place], where: str, *, wanted: Wanted) -> dict[str, Place]:
    """The tables of the schema that has a table person, by name in lower case, and the vocabulary's of another schema
    where that one has none.

    Raises PresageError where no schema or several could be meant, or the one that is named is not there.
    """
    places = sorted(places)
    schema = _schema_of("person", places, where, named=wanted.schema, option="--schema")
    if schema is None:
        raise PresageError(
            where,
            "a schema with the table person",
            found="none",
            way_out="give the database that holds the tables of a CDM",
        )
    tables = _tables_of(schema, places)
    if wanted.vocabulary is None and "concept" in tables:
        return tables
    vocabulary = _schema_of("concept", places, where, named=wanted.vocabulary, option="--vocabulary-schema")
    if vocabulary is not None:
        theirs = _tables_of(vocabulary, places)
        tables |= {name: place for name, place in theirs.items() if name in VOCABULARY_COLUMNS}
    return tables


def _tables_of(schema: str, places: Iterable[Place]) -> dict[str, Place]:
    # Of "PERSON" and "person" the latter counts: it comes last.
    return {place.table.lower(): place for place in places if place.schema == schema}


def _schema_of(table: str, places: Iterable[Place], where: str, *, named: str | None, option: str) -> str | None:
    places = list(places)
    holding = sorted({place.schema for place in places if place.table.lower() == table})
    readable = sorted({place.schema for place in places if place.table.lower() == table and place.readable})
    if named is not None:
        if named not in {place.schema for place in places}:
            raise PresageError(
                where, f"the schema '{named}'", found="none of that name", way_out=f"name one: {', '.join(holding)}"
            )
        return named
    meant = readable or holding
    if len(meant) > 1:
        raise PresageError(
            where,
            f"one schema with a table {table}",
            found=f"{len(meant)}: {', '.join(meant)}",
            way_out=f"name it: {option} {meant[0]}",
        )
    return meant[0] if meant else None
