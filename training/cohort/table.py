"""A flat table as a study's source: columns to features, outcome, blocks and groups, each fault named by column."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.arrays import Bools, Strings
from features.errors import PresageError, meant
from features.frame import FeatureFrame
from training.card import count
from training.cohort.blocks import allowed_names, matching, monotone_signs, named_blocks, unnamed
from training.cohort.columns import read_column
from training.cohort.events import events_of
from training.cohort.outcome import EVENT, Outcome
from training.cohort.rows import Block, Cohort, Described, Dosages, Step, Suspect, people_and_rows
from training.cohort.splits import marked
from training.cohort.suspects import Told, looks_like
from training.disclosure import pooled
from training.study import DAYS_IN, Source, Study

MISSING = ["", "NA", "NaN", "nan", "NULL", "null", "None", "N/A", "n/a", "?", "#N/A", "."]
DOSAGES = "genotypes"
HANDED = "the data frame"  # what errors call a table that is no file
FIRST_ROW = 2  # of a file, below its header


def read_flat(
    study: Study, folder: Path, *, handed: Path | pd.DataFrame | None = None, elsewhere: bool = False
) -> Cohort:
    """Read the study's table (paths relative to `folder`, the study file's), or the one that is handed over instead.

    Rows without an outcome are counted in the attrition and left out. elsewhere: nothing is learned from these people,
    so no feature is suspected, and nobody there need have each value that the study names.
    """
    source = study.source
    if source is None:
        raise ValueError("a flat table is read for a study with [source]")
    path, table, numbers = _the_table(source, folder, handed=handed)
    _require(table, path, names=[source.id, source.index_date, study.outcome.time, study.outcome.event])
    ids = numbers if source.id is None else _ids(table, source.id, path=path)
    attrition = [people_and_rows("rows in the table", pd.factorize(ids)[0])]
    known = _with_outcome(table, study)
    table, ids = table[known], ids[known]
    persons = pd.factorize(ids)[0].astype(np.int64)
    attrition.append(people_and_rows("with a known outcome", persons))
    outcome = _outcome(table, study, path=path, must_occur=not elsewhere)
    dosages = None if source.genotypes is None else _dosages(folder / source.genotypes, ids)
    blocks, left_out = _blocks(table, study, dosages=dosages)
    told = None if elsewhere or not len(table) else Told.of(outcome, persons)
    moments = _as_of(table, source, path=path)
    frame, suspects = _frame(table, persons, study=study, path=path, as_of=moments, blocks=blocks, told=told)
    genotyped, why_not = _genotyped(frame, blocks, dosages=dosages)
    if any(block.genomic for block in blocks):
        attrition.append(Step("of them with genomic results", len(np.unique(persons[genotyped])), int(genotyped.sum())))
    return Cohort(
        frame=frame,
        outcome=outcome,
        ids=ids,
        blocks=blocks,
        genotyped=genotyped,
        why_not=why_not,
        groups={name: pooled(labels(table[name]), persons) for name in _groups(table, study, path=path)},
        columns=_split_columns(table, study, path=path),
        dosages=dosages,
        attrition=tuple(attrition),
        described=_described(study, frame, blocks=blocks),
        notes=_repeated(persons, study),
        left_out=left_out,
        suspects=suspects,
        equation=study.features.equation,
    )


def labels(column: pd.Series[Any]) -> Strings:
    """Group labels as strings, None where unknown; a numeric column of many values is cut at its quarters."""
    if pd.api.types.is_bool_dtype(column):
        column = column.astype(int)
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > 12:
        column = _quarters(column)
    elif pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all()):
        column = column.astype("Int64")
    return labels_exact(column)


def _quarters(column: pd.Series[Any]) -> pd.Series[Any]:
    """Which quarter each is in; named by the quartiles, as the ends of the first and the last are somebody's."""
    cut = pd.qcut(column, 4, duplicates="drop")
    bounds = list(cut.cat.categories)
    names = [f"({one.left:g}, {one.right:g}]" for one in bounds]
    names[0], names[-1] = f"at most {bounds[0].right:g}", f"above {bounds[-1].left:g}"
    return cut.cat.rename_categories(names if len(names) > 1 else ["any"]).astype(str).where(column.notna())


def _the_table(
    source: Source, folder: Path, *, handed: Path | pd.DataFrame | None
) -> tuple[str, pd.DataFrame, Strings]:
    """What errors call the table, its rows under the numbers that errors give them, and what they are called without
    a column of ids: by a data frame's index, or by their numbers from 1.
    """
    if isinstance(handed, pd.DataFrame):
        table = handed.rename(columns=str)
        repeated = table.columns[table.columns.duplicated()]
        if len(repeated):
            where = f"{HANDED}, column '{repeated[0]}'"
            raise PresageError(where, "one column of each name", found="several of this name")
        named = handed.index if handed.index.is_unique else range(1, len(handed) + 1)
        return HANDED, table.reset_index(drop=True), _words(named)
    if handed is None and source.table is None:
        raise PresageError(
            "[source] table", "the table's file", found="none", way_out="name it in the study, or hand the table over"
        )
    path = folder / str(source.table) if handed is None else handed
    table = _read_table(path, id_column=source.id)
    table.index = pd.RangeIndex(FIRST_ROW, FIRST_ROW + len(table))
    return str(path), table, _words(range(1, len(table) + 1))


def _words(values: Iterable[Any]) -> Strings:
    return np.array([str(value) for value in values], dtype=object)


def _read_table(path: Path, *, id_column: str | None) -> pd.DataFrame:
    """The rows of a CSV, TSV or Parquet file. Ids stay the text that they are: 001 and 1 are two people."""
    if not path.is_file():
        raise PresageError(
            str(path),
            "a table",
            found="no such file",
            way_out="name it in [source] table, relative to the study's file",
        )
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    separator = "\t" if ".tsv" in path.name or path.suffix == ".txt" else ","
    texts = None if id_column is None else {id_column: str}
    return pd.read_csv(path, sep=separator, na_values=MISSING, keep_default_na=False, low_memory=False, dtype=texts)


def _row(table: pd.DataFrame, wrong: Any) -> Any:
    """The number of the first of these rows: its line in a file, its position in a data frame."""
    return table.index[int(np.flatnonzero(wrong)[0])]


def _require(table: pd.DataFrame, path: str, *, names: list[str | None]) -> None:
    for name in names:
        if name is not None and name not in table.columns:
            raise PresageError(
                f"{path}, column '{name}'",
                f"a column among {_some(table.columns)}",
                found="none of that name",
                way_out=meant(name, table.columns),
            )


def _some(names: pd.Index[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _ids(table: pd.DataFrame, column: str, *, path: str) -> Strings:
    if bool(table[column].isna().any()):
        row = _row(table, table[column].isna())
        raise PresageError(f"{path}, row {row}, column '{column}'", "an id in every row", found="none")
    ids = table[column]
    if pd.api.types.is_float_dtype(ids) and bool((ids % 1 == 0).all()):
        ids = ids.astype("Int64")  # whole numbers that were floats somewhere on the way
    return ids.astype(str).astype(object).to_numpy()


def _repeated(persons: npt.NDArray[np.int64], study: Study) -> tuple[str, ...]:
    """A note where people have several rows."""
    rows = np.bincount(persons) if len(persons) else np.zeros(0, dtype=np.intp)
    several = int((rows > 1).sum())
    if not several or study.source is None:
        return ()
    who = f"{count(several)} of {len(rows):,} people have several rows (the same '{study.source.id}')"
    return (f"{who}: all rows of a person are on one side of every split, and people are resampled, not rows",)


def _with_outcome(table: pd.DataFrame, study: Study) -> Bools:
    """(n,) rows with a value in the columns of the outcome."""
    known = np.ones(len(table), dtype=np.bool_)
    for name in (study.outcome.event, study.outcome.time):
        if name is not None:
            column = table[name]
            known &= column.notna().to_numpy()
            if not pd.api.types.is_numeric_dtype(column):
                known &= (column.astype(str).str.strip() != "").to_numpy()
    return known


def _outcome(table: pd.DataFrame, study: Study, *, path: str, must_occur: bool) -> Outcome:
    section = study.outcome
    event = events_of(table[str(section.event)], section, path=path, must_occur=must_occur)
    if section.time is None:
        return Outcome(np.full(len(event), np.nan), event, ())
    time = pd.to_numeric(table[section.time], errors="coerce").to_numpy(dtype=np.float64)
    bad = ~(time >= 0)
    if bool(bad.any()):
        row = _row(table, bad)
        raise PresageError(
            f"{path}, row {row}, column '{section.time}'",
            "a time of zero or more days in every row",
            found=f"{int(bad.sum())} rows without",
        )
    if section.time_unit is not None:
        time = time * DAYS_IN[section.time_unit]
    horizons = section.horizons_days
    if not horizons:
        if not bool((event == EVENT).any()):
            raise PresageError(f"{path}, column '{section.event}'", "at least one event (1)", found="none")
        learned = (event == EVENT) & ~_set_aside(table, study, path=path)
        horizons = (float(np.median(time[learned if bool(learned.any()) else event == EVENT])),)
    return Outcome(time, event, horizons)


def _set_aside(table: pd.DataFrame, study: Study, *, path: str) -> Bools:
    """(n,) rows that the scheme keeps for the test alone: no default is taken from them."""
    v, source = study.validation, study.source
    if v.test_column is not None:
        _require(table, path, names=[v.test_column])
        return marked(labels_exact(table[v.test_column]))
    if v.test_from is not None and source is not None and source.index_date is not None:
        return np.asarray(_as_of(table, source, path=path) >= np.datetime64(v.test_from, "us"), dtype=np.bool_)
    return np.zeros(len(table), dtype=np.bool_)


def _as_of(table: pd.DataFrame, source: Source, *, path: str) -> npt.NDArray[np.datetime64]:
    if source.index_date is None:
        return np.full(len(table), np.datetime64("NaT", "us"))
    moments = pd.to_datetime(table[source.index_date], errors="coerce", format="ISO8601")
    if bool(moments.isna().any()):
        row = _row(table, moments.isna())
        raise PresageError(f"{path}, row {row}, column '{source.index_date}'", "a date YYYY-MM-DD")
    return moments.to_numpy().astype("datetime64[us]")


def _reserved(study: Study) -> set[str]:
    v, source = study.validation, study.source
    names = {study.outcome.event, study.outcome.time, v.fold_column, v.test_column, v.site_column}
    if source is not None:
        names |= {source.id, source.index_date}
    return {name for name in names if name is not None}


def _blocks(table: pd.DataFrame, study: Study, *, dosages: Dosages | None) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """The study's blocks over the columns that are not spoken for, and the columns that they leave out.

    Genotypes are a genomic block of their own name.
    """
    columns = [str(name) for name in table.columns]
    reserved = _reserved(study)
    allowed = allowed_names(study.features, columns, where="[features]")
    usable = [name for name in allowed if name not in reserved]
    marks = () if dosages is None else (DOSAGES,)
    return named_blocks(study.features, usable, where="[features.blocks]", marks=marks)


def _frame(
    table: pd.DataFrame,
    persons: npt.NDArray[np.int64],
    *,
    study: Study,
    path: str,
    as_of: npt.NDArray[np.datetime64],
    blocks: tuple[Block, ...],
    told: Told | None,
) -> tuple[FeatureFrame, tuple[Suspect, ...] | None]:
    """The blocks' features, and those of them that look like the outcome; None where they are held against none."""
    names = tuple(name for block in blocks for name in block.features)
    columns, explained = list(table.columns), study.features.explained
    categories = set(columns) - set(unnamed([study.features.categories], columns))
    if told is not None:
        matching(study.features.categories, columns, where="[features] categories", of="columns")
        matching(list(explained), names, where="[features.explained]")
    values = np.full((len(table), len(names)), np.nan, dtype=np.float32)
    levels: dict[str, tuple[str, ...]] = {}
    suspects: list[Suspect] = []
    for j, name in enumerate(names):
        read = read_column(table[name], path=path, is_category=name in categories)
        values[:, j] = read.values
        if read.levels is not None:
            levels[name] = read.levels
        words = () if told is None else looks_like(name, read, told)
        if words:
            suspects.append(Suspect(name, " and ".join(words), explained.get(name)))
    frame = FeatureFrame(persons, as_of, names, values, levels)
    return frame, None if told is None else tuple(suspects)


def _described(study: Study, frame: FeatureFrame, *, blocks: tuple[Block, ...]) -> dict[str, Described]:
    section, where = study.features, "[features]"
    modifiable = set(matching(section.modifiable, frame.names, where=f"{where} modifiable"))
    numbers = [name for name in frame.names if name not in frame.levels]
    signs = monotone_signs(section, numbers, catalogue={}, where=where)
    return {
        name: Described(name.replace("_", " "), block.name, name in modifiable, signs.get(name, 0))
        for block in blocks
        for name in block.features
    }


def _genotyped(frame: FeatureFrame, blocks: tuple[Block, ...], *, dosages: Dosages | None) -> tuple[Bools, Strings]:
    names = [name for block in blocks if block.genomic for name in block.features]
    if names:
        columns = [frame.names.index(name) for name in names]
        known = ~np.isnan(frame.values[:, columns]).all(axis=1)
    else:
        known = np.zeros(len(frame), dtype=np.bool_)
    if dosages is not None:
        known = known | dosages.called
    known = np.asarray(known, dtype=np.bool_)
    return known, np.where(known, "", "no genomic results").astype(object)


def _groups(table: pd.DataFrame, study: Study, *, path: str) -> tuple[str, ...]:
    _require(table, path, names=list(study.equity.groups))
    return study.equity.groups


def _split_columns(table: pd.DataFrame, study: Study, *, path: str) -> dict[str, Strings]:
    v = study.validation
    names = [name for name in (v.fold_column, v.test_column, v.site_column) if name is not None]
    _require(table, path, names=list(names))
    return {name: labels_exact(table[name]) for name in names}


def labels_exact(column: pd.Series[Any]) -> Strings:
    """Each value as a string, None where unknown."""
    return np.array([None if pd.isna(value) else str(value) for value in column], dtype=object)


def _dosages(path: Path, ids: Strings) -> Dosages:
    """Genotypes of the table's people; those without are NaN throughout."""
    from features.polygenic.genotypes import read_dosages

    samples, variants, counts = read_dosages(path)
    position = {sample: i for i, sample in enumerate(samples)}
    where = np.array([position.get(label, -1) for label in ids], dtype=np.int64)
    called = where >= 0
    if not bool(called.any()):
        raise PresageError(
            str(path), "samples with ids of the table", found="none", way_out="name the column to join on: [source] id"
        )
    values = np.where(called[:, None], counts[where], np.float32(np.nan))
    counted, others = tuple(variants["alt"].to_pylist()), tuple(variants["ref"].to_pylist())
    return Dosages(tuple(variants["id"].to_pylist()), counted, values, called, others)
