"""Where loaded vocabularies lie, and the ancestors of codes by them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from features.home import presage_home
from features.record import ANCESTORS

RELEASE, CONCEPTS, PAIRS = "release.json", "concepts.parquet", "ancestors.parquet"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A vocabulary as it was loaded. digest: SHA-256 over its files. vocabularies: the names its codes begin with."""

    name: str
    kind: str
    release: str
    digest: str
    concepts: int
    pairs: int
    vocabularies: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Plain types."""
        return asdict(self) | {"vocabularies": list(self.vocabularies)}


def home() -> Path:
    """The folder of all loaded vocabularies, in $PRESAGE_HOME."""
    return presage_home() / "vocabularies"


def loaded() -> tuple[Loaded, ...]:
    """Every vocabulary that has been loaded, by name."""
    found = []
    for path in sorted(home().glob(f"*/{RELEASE}")):
        body = json.loads(path.read_text(encoding="utf-8"))
        found.append(Loaded(**{**body, "vocabularies": tuple(body["vocabularies"])}))
    return tuple(found)


def ancestors_of_codes(codes: Iterable[str]) -> pa.Table:
    """Rows of ANCESTORS: everything that the loaded vocabularies put above these codes.

    A code that maps to another (`Maps to`) has that one and its ancestors above it.
    """
    wanted = pa.table({"code": pa.array(sorted(set(codes)), pa.string())})
    tables = [_above(home() / each.name, wanted) for each in loaded()]
    if not tables or not wanted.num_rows:
        return ANCESTORS.empty_table()
    return pa.concat_tables(tables).cast(ANCESTORS)


def codes_below(concepts: Iterable[str]) -> pa.Table:
    """Rows of ANCESTORS: every code that the loaded vocabularies put below one of these concepts, with that concept.

    A code that maps to another (`Maps to`) lies below that one, too.
    """
    wanted = pa.table({"ancestor": pa.array(sorted(set(concepts)), pa.string())})
    tables = [_below(home() / each.name, wanted) for each in loaded()]
    if not tables or not wanted.num_rows:
        return ANCESTORS.empty_table()
    return pa.concat_tables(tables).cast(ANCESTORS)


def _below(folder: Path, wanted: pa.Table) -> pa.Table:
    connection = duckdb.connect()
    connection.register("wanted", wanted)
    concepts, pairs = (str(folder / name) for name in (CONCEPTS, PAIRS))
    return connection.sql(
        """
        WITH named AS (SELECT w.ancestor, c.id FROM wanted w JOIN read_parquet($concepts) c ON c.code = w.ancestor),
        below AS (SELECT p.id, n.ancestor FROM named n JOIN read_parquet($pairs) p ON p.ancestor = n.id)
        SELECT DISTINCT c.code, b.ancestor FROM below b JOIN read_parquet($concepts) c ON c.id = b.id
        WHERE c.code <> b.ancestor ORDER BY ALL
        """,
        params={"concepts": concepts, "pairs": pairs},
    ).to_arrow_table()


def _above(folder: Path, wanted: pa.Table) -> pa.Table:
    connection = duckdb.connect()
    connection.register("wanted", wanted)
    concepts, pairs = (str(folder / name) for name in (CONCEPTS, PAIRS))
    return connection.sql(
        """
        WITH used AS (SELECT w.code, c.id FROM wanted w JOIN read_parquet($concepts) c ON c.code = w.code),
        above AS (SELECT u.code, p.ancestor FROM used u JOIN read_parquet($pairs) p ON p.id = u.id)
        SELECT DISTINCT a.code, c.code AS ancestor
        FROM above a JOIN read_parquet($concepts) c ON c.id = a.ancestor
        WHERE c.code <> a.code ORDER BY ALL
        """,
        params={"concepts": concepts, "pairs": pairs},
    ).to_arrow_table()
