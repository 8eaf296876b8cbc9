"""`presage vocabulary load`: an OMOP vocabulary export, RxNorm's RRF or SNOMED CT's RF2, as ancestors of codes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from features.errors import PresageError
from features.progress import Progress, silent
from features.vocabulary.store import CONCEPTS, PAIRS, RELEASE, Loaded, home
from features.writing import whole_folder

MEMORY = "2GB"
IS_A = 116680003  # SNOMED CT's relationship "Is a"
# RxNorm's relations that lead from a product, a form or a component to what it is made of
# (https://www.nlm.nih.gov/research/umls/rxnorm/docs/appendix1.html): RXCUI2 stands in RELA to RXCUI1.
RXNORM_UP = (
    "has_ingredient", "has_ingredients", "has_precise_ingredient", "consists_of", "tradename_of", "isa", "form_of",
    "has_part", "contains", "quantified_form_of", "reformulated_to",
)  # fmt: skip
# The columns of RXNCONSO and RXNREL, as RxNorm's technical documentation has them, and what stands behind the last `|`.
_CONSO = "rxcui lat ts lui stt sui ispref rxaui saui scui sdui sab tty code str srl suppress cvf rest"
_REL = "rxcui1 rxaui1 stype1 rel rxcui2 rxaui2 stype2 rela rui srui sab sl dir rg suppress cvf rest"
_WAY_OUT = "give the folder of an OMOP vocabulary export (CONCEPT.csv), of RxNorm's rrf, or of an RF2 snapshot"


def load(source: Path, *, release: str | None = None, progress: Progress = silent) -> Loaded:
    """Load a vocabulary from its published files; one of the same name is replaced, whole or not at all.

    source: a folder with CONCEPT.csv, CONCEPT_ANCESTOR.csv and CONCEPT_RELATIONSHIP.csv as Athena writes them; or with
    RXNCONSO.RRF and RXNREL.RRF; or with sct2_Concept_Snapshot and sct2_Relationship_Snapshot, at any depth. release:
    its name, where the files do not say it. Raises PresageError for a folder that is none of these.
    """
    name, files, fill = _kind(source)
    with progress(f"loading {name}", total=None), whole_folder(home() / name) as folder:
        folder.mkdir(parents=True)
        connection = duckdb.connect(str(folder / "scratch.duckdb"))
        connection.execute(f"SET memory_limit = '{MEMORY}'; SET preserve_insertion_order = false")
        connection.execute(f"SET temp_directory = '{folder / 'spill'}'")
        try:
            fill(connection, files)
            written = _write(connection, folder)
        except duckdb.Error as error:
            raise PresageError(
                str(source),
                f"the files of {name} in their published layout",
                found=_first_line(error),
                way_out=_WAY_OUT,
            ) from None
        finally:
            connection.close()
            for left in ("scratch.duckdb", "scratch.duckdb.wal"):
                (folder / left).unlink(missing_ok=True)
            shutil.rmtree(folder / "spill", ignore_errors=True)
        done = Loaded(
            name=name,
            kind=name,
            release=release or _release(source, files),
            digest=_digest(files.values()),
            concepts=written[0],
            pairs=written[1],
            vocabularies=written[2],
        )
        (folder / RELEASE).write_text(json.dumps(done.to_json(), indent=1) + "\n", encoding="utf-8")
    return done


Files = Mapping[str, Path]
Fill = Callable[[duckdb.DuckDBPyConnection, Files], None]


def _kind(source: Path) -> tuple[str, Files, Fill]:
    if not source.is_dir():
        raise PresageError(str(source), "a folder of a vocabulary's files", found="no such folder", way_out=_WAY_OUT)
    known = {path.name.lower(): path for path in sorted(source.rglob("*")) if path.is_file()}

    def first(pattern: str) -> Path | None:
        return next((path for name, path in known.items() if re.fullmatch(pattern, name)), None)

    kinds: tuple[tuple[str, dict[str, str], Fill], ...] = (
        ("omop", {"concept": r"concept\.csv", "ancestor": r"concept_ancestor\.csv",
                  "relationship": r"concept_relationship\.csv"}, _omop),
        ("rxnorm", {"concept": r"rxnconso\.rrf", "relationship": r"rxnrel\.rrf"}, _rxnorm),
        ("snomed", {"concept": r"sct2_concept_(?:snapshot|full).*\.txt",
                    "relationship": r"sct2_relationship_(?:snapshot|full).*\.txt"}, _snomed),
    )  # fmt: skip
    for name, wanted, fill in kinds:
        files = {role: first(pattern) for role, pattern in wanted.items()}
        if files["concept"] is None:
            continue
        missing = [role for role, path in files.items() if path is None]
        if missing:
            raise PresageError(
                str(source),
                f"the file of {name} with each {missing[0]}",
                found="none",
                way_out="unpack the whole release",
            )
        return name, {role: path for role, path in files.items() if path is not None}, fill
    raise PresageError(str(source), "a vocabulary that can be read", found="none of its files", way_out=_WAY_OUT)


def _read(path: Path, columns: Mapping[str, str], *, delimiter: str, header: bool) -> str:
    listed = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
    return (
        f"read_csv('{path}', delim='{delimiter}', header={str(header).lower()}, quote='', escape='', auto_detect=false,"
        f" null_padding=true, columns={{{listed}}})"
    )


def _named(path: Path) -> dict[str, str]:
    """The columns of a tab-separated file with a header, all as text."""
    with path.open(encoding="utf-8") as lines:
        return {name.strip().lower(): "VARCHAR" for name in lines.readline().rstrip("\r\n").split("\t")}


def _omop(connection: duckdb.DuckDBPyConnection, files: Files) -> None:
    concept, ancestor, relationship = (
        _read(files[role], _named(files[role]), delimiter="\t", header=True)
        for role in ("concept", "ancestor", "relationship")
    )
    connection.execute(
        f"""
        CREATE TABLE concepts AS SELECT concept_id::BIGINT AS id, vocabulary_id || '//' || concept_code AS code
        FROM {concept} WHERE concept_id <> '0' AND concept_code IS NOT NULL;
        CREATE TABLE direct AS SELECT concept_id_1::BIGINT AS id, concept_id_2::BIGINT AS ancestor FROM {relationship}
        WHERE relationship_id = 'Maps to' AND invalid_reason IS NULL AND concept_id_1 <> concept_id_2;
        CREATE TABLE above AS SELECT descendant_concept_id::BIGINT AS id, ancestor_concept_id::BIGINT AS ancestor
        FROM {ancestor} WHERE descendant_concept_id <> ancestor_concept_id;
        CREATE TABLE pairs AS SELECT * FROM above UNION ALL SELECT * FROM direct
        UNION ALL SELECT d.id, a.ancestor FROM direct d JOIN above a ON a.id = d.ancestor;
        """
    )


def _rxnorm(connection: duckdb.DuckDBPyConnection, files: Files) -> None:
    conso, rel = dict.fromkeys(_CONSO.split(), "VARCHAR"), dict.fromkeys(_REL.split(), "VARCHAR")
    listed = ", ".join(f"'{name}'" for name in RXNORM_UP)
    connection.execute(
        f"""
        CREATE TABLE concepts AS SELECT DISTINCT rxcui::BIGINT AS id, 'RxNorm//' || rxcui AS code
        FROM {_read(files["concept"], conso, delimiter="|", header=False)} WHERE sab = 'RXNORM';
        CREATE TABLE direct AS SELECT DISTINCT rxcui2::BIGINT AS id, rxcui1::BIGINT AS ancestor
        FROM {_read(files["relationship"], rel, delimiter="|", header=False)}
        WHERE sab = 'RXNORM' AND rela IN ({listed}) AND rxcui1 <> rxcui2 AND rxcui1 <> '' AND rxcui2 <> '';
        """
    )
    _close(connection)


def _snomed(connection: duckdb.DuckDBPyConnection, files: Files) -> None:
    concept, relationship = (
        _read(files[role], _named(files[role]), delimiter="\t", header=True) for role in ("concept", "relationship")
    )
    latest = "QUALIFY row_number() OVER (PARTITION BY id ORDER BY effectivetime DESC) = 1"
    connection.execute(
        f"""
        CREATE TABLE concepts AS SELECT id::BIGINT AS id, 'SNOMED//' || id AS code FROM {concept} {latest};
        CREATE TABLE direct AS SELECT DISTINCT sourceid::BIGINT AS id, destinationid::BIGINT AS ancestor
        FROM (SELECT * FROM {relationship} {latest})
        WHERE active = '1' AND typeid = '{IS_A}' AND sourceid <> destinationid;
        """
    )
    _close(connection)


def _close(connection: duckdb.DuckDBPyConnection) -> None:
    """`pairs`: all ancestors by the direct links; a circle ends where it began."""
    connection.execute(
        """
        CREATE TABLE pairs AS WITH RECURSIVE up AS (
            SELECT id, ancestor FROM direct
            UNION SELECT u.id, d.ancestor FROM up u JOIN direct d ON d.id = u.ancestor
        ) SELECT id, ancestor FROM up WHERE id <> ancestor
        """
    )


def _write(connection: duckdb.DuckDBPyConnection, folder: Path) -> tuple[int, int, tuple[str, ...]]:
    """The tables as Parquet, sorted by id so that few row groups are read for a few codes; their sizes."""
    connection.execute(f"COPY (SELECT id, code FROM concepts ORDER BY code) TO '{folder / CONCEPTS}' (FORMAT parquet)")
    connection.execute(
        f"COPY (SELECT id, ancestor FROM pairs ORDER BY id, ancestor) TO '{folder / PAIRS}' (FORMAT parquet)"
    )
    concepts, pairs = (int(_one(connection, f"SELECT count(*) FROM {name}")) for name in ("concepts", "pairs"))
    rows = connection.execute(
        "SELECT DISTINCT split_part(code, '//', 1) AS name FROM concepts ORDER BY name"
    ).fetchall()
    return concepts, pairs, tuple(row[0] for row in rows)


def _one(connection: duckdb.DuckDBPyConnection, question: str) -> int:
    row = connection.execute(question).fetchone()
    return int(row[0]) if row else 0


def _release(source: Path, files: Files) -> str:
    """The release as the files' names or a VOCABULARY.csv tell it, else "unknown"."""
    told = next(iter(source.rglob("VOCABULARY.csv")), None)
    if told is not None:
        for line in told.read_text(encoding="utf-8").splitlines():
            cells = line.split("\t")
            if cells and cells[0] == "None" and len(cells) > 3:
                return cells[3]
    found = re.search(r"(\d{8})", files["concept"].name) or re.search(r"(\d{8})", str(source))
    return found[1] if found else "unknown"


def _digest(files: object) -> str:
    digest = hashlib.sha256()
    for path in files:  # type: ignore[attr-defined]
        with path.open("rb") as content:
            while chunk := content.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    """What DuckDB says, without the line of the file that it quotes."""
    return str(error).splitlines()[0].split(":")[0][:80]
