"""A MEDS data set made elsewhere into the record; `available_time` is derived where it has none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from features.codes import canonical_code
from features.errors import PresageError
from features.progress import Progress, silent
from features.record import ANCESTORS, ANY, CODES, ORIGIN_COLUMNS, identity, sources_with_deltas
from features.sources.accounts import account
from features.sources.broken_files import check_parquet, damage_named, named
from features.sources.checks import (
    AFTER_DEATH_DAYS,
    BAD_DATE,
    BAD_NUMBER,
    BEFORE_BIRTH,
    EVENT_COLUMNS,
    LONG_AFTER_DEATH,
    NO_CODINGS,
    TIMESTAMP,
    in_calendar,
    moment,
    row_as_text,
)
from features.sources.drugs import by_name
from features.sources.judging import CONTEXTUAL, FACT, Ways, origin_types
from features.sources.numbers import NUMBER_AS_TEXT, number_like, numbers_of
from features.sources.report import IngestReport
from features.sources.store import Kept, Workspace, workspace, write
from features.sources.updates import Update, finished

SOURCE = "meds"
WAYS = Ways((), "", by_kind=True, repeats=False)
_REQUIRED = ("subject_id", "time", "code")
_WAY_OUT = "give the folder of a MEDS data set: data/**/*.parquet, metadata/codes.parquet"


def ingest(
    source: Path, record_dir: Path, *, replace: bool = False, update: bool = False, progress: Progress = silent
) -> IngestReport:
    """Read a MEDS data set into the record, in place of what the record had from MEDS.

    Subjects keep their numbers where they are free. Without `available_time` a fact with a clock time was known at that
    time, a fact without one at the day's end. update: of the people in the source only what lies within its time, from
    the first to the last event of anybody, is replaced, and static facts and births where it has such of a person.
    Raises PresageError where there are no data, nobody can be read, or a required column is missing.
    """
    shards = sorted(path for path in (source / "data").rglob("*.parquet") if path.is_file())
    if not shards:
        raise PresageError(
            str(source), "the folder of a MEDS data set", found="no data/*.parquet in it", way_out=_WAY_OUT
        )
    if sources_with_deltas(source):
        raise PresageError(
            str(source),
            "a record of which no update is pending",
            found="rows beside data/",
            way_out=f"run presage record compact {source}",
        )
    check_parquet(shards)
    with (
        workspace(record_dir, SOURCE, origin=source, replace=replace, update=update) as space,
        damage_named(lambda: shards),
    ):
        opened = Update(space, WAYS) if update else None
        report = IngestReport(SOURCE)
        with progress("reading MEDS events", total=None):
            rows = _judged(_typed(source, space, shards, update=opened))
            staged = space.con.create_table("checked", rows.drop("source_row"))
            account(space, report, name="data", staged=staged.filter(staged.is_new), rows=rows.filter(rows.is_new))
            facts, subjects = _with_subjects(space, staged)
            events = facts.filter(facts.reason.isnull()).select(*EVENT_COLUMNS, *ORIGIN_COLUMNS)
            report.table("data").events = int(events.count().to_pyarrow().as_py())
        codes, ancestors = (ibis.memtable(table) for table in _metadata(source, facts))
        if opened is not None:
            opened.judged_as(facts)
            opened.write(
                whole=events.limit(0), subjects=subjects, codes=codes, ancestors=ancestors, kinds={ANY: None},
                kept=Kept({}), report=report,
            )  # fmt: skip
        else:
            aside = facts.filter(facts.reason.notnull()).select(FACT)
            write(
                space,
                events=events,
                subjects=subjects,
                codes=codes,
                ancestors=ancestors,
                kinds={ANY: None},
                kept=Kept({"aside": aside}),
                report=report,
                progress=progress,
            )
    return finished(report, record_dir) if update else report


def _typed(source: Path, space: Workspace, shards: Sequence[Path], *, update: Update | None) -> ir.Table:
    """The rows of the source, typed; of an update with those that stay of its people."""
    columns = _check_types(source, shards)
    raw = space.con.read_parquet([str(path) for path in shards], table_name="raw_data", union_by_name=True)
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise PresageError(
            f"{source}/data",
            f"the columns {', '.join(_REQUIRED)}",
            found=f"no column '{missing[0]}'",
            way_out=_WAY_OUT,
        )
    rows = _read_rows(raw, _spelt(source, raw), numbers=_numbers(space, raw))
    if update is None:
        return rows
    new = space.con.create_table("new_rows", rows)
    return new.union(_staying(update, new).select(new.columns))


def _staying(update: Update, new: ir.Table) -> ir.Table:
    """What stays of the people of an update: all that does not lie within its time; static facts and births where it
    has none of that person.
    """
    people = new.filter(new.source_subject.notnull()).select(person=new.source_subject).distinct()
    events, aside = update.of_people(people)
    columns = ("person", *EVENT_COLUMNS[1:])
    rows = events.select(columns).union(aside.select(columns))
    lasting = (new.code == "MEDS_BIRTH") | (new.time.isnull() & ~new.dated)
    covered = new.filter(~lasting.fill_null(False)).agg(first=new.time.min(), last=new.time.max()).to_pyarrow()
    first, last = covered["first"][0].as_py(), covered["last"][0].as_py()
    within = rows.time.between(first, last) if first is not None else ibis.literal(False)
    of_birth = rows.code == "MEDS_BIRTH"
    births = new.filter(new.code == "MEDS_BIRTH").select(born=new.source_subject).distinct()
    static = new.filter(new.time.isnull(), ~new.dated).select(known=new.source_subject).distinct()
    stays = ibis.cases(
        (of_birth, rows.person.notin(births.born)),
        (rows.time.isnull(), rows.person.notin(static.known)),
        else_=~within,
    )
    rows = rows.filter(stays)
    rows = rows.mutate(source_subject=rows.person, dated=rows.time.notnull())
    # They were read, and remarked upon, before.
    silent_on = {
        name: ibis.literal(False) if kind.is_boolean() else ibis.null(kind)
        for name, kind in new.schema().items()
        if name not in rows.columns
    }
    return rows.mutate(**silent_on)


def _whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind))


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _words(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _lists(kind: pa.DataType) -> bool:
    return bool((pa.types.is_list(kind) or pa.types.is_large_list(kind)) and _words(kind.value_type))


# What each column holds, as MEDS says: the words of an error, and the Arrow types that hold it.
_TYPES: dict[str, tuple[str, Callable[[pa.DataType], bool]]] = {
    "subject_id": ("whole numbers", _whole),
    "time": ("timestamps", pa.types.is_timestamp),
    "code": ("text", _words),
    "numeric_value": ("numbers", _number),
    "text_value": ("text", _words),
    "available_time": ("timestamps", pa.types.is_timestamp),
    "unit": ("text", _words),
    "codings": ("lists of text", _lists),
}


def _check_types(source: Path, shards: Sequence[Path]) -> set[str]:
    """The columns of all parts together. Raises PresageError, which names the part and the column, for a wrong type.

    A part may lack a column that another has, and a column that is empty in a part may have no type there.
    """
    columns: set[str] = set()
    for path in shards:
        for column in pq.read_schema(path):
            kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
            words, holds = _TYPES.get(column.name, ("", None))
            if holds is not None and not pa.types.is_null(kind) and not holds(kind):
                raise PresageError(
                    f"{path.relative_to(source)}, column '{column.name}'",
                    f"a column of {words}",
                    found=f"the type {column.type}",
                    way_out="write the column with its type in the MEDS schema",
                )
            columns.add(column.name)
    return columns


def _numbers(space: Workspace, raw: ir.Table) -> pa.Table:
    """The texts that say a number, of facts that have none. What Presage wrote has been read by this rule before."""
    if not {"text_value", "numeric_value"} <= set(raw.columns) or "codings" in raw.columns:
        return numbers_of(())
    alone = raw.filter(raw.numeric_value.isnull(), raw.time.notnull())
    texts = alone.select(text=number_like(alone.text_value.cast("string"))).distinct()
    return numbers_of(space.con.to_pyarrow(texts)["text"].to_pylist())


def _read_rows(raw: ir.Table, spelt: pa.Table, *, numbers: pa.Table) -> ir.Table:
    """Every row, typed; codes and their codings as `spelt` (SPELT) has them."""

    def column(name: str, kind: str) -> ir.Value:
        return raw[name].cast(kind) if name in raw.columns else ibis.null(kind)

    number = column("numeric_value", "float64")
    finite = ~(number.isnan() | (number.abs() > 3.4e38))
    given = raw.codings.cast("array<string>") if "codings" in raw.columns else NO_CODINGS
    rows = raw.select(
        source_row=row_as_text(raw),
        own_codings=given,
        source_subject=raw.subject_id.cast("int64"),
        time=in_calendar(raw.time.cast(TIMESTAMP)),
        dated=raw.time.notnull(),
        written=raw.code.cast("string").nullif(""),
        numeric_value=ibis.ifelse(finite, number, ibis.null("float64")).cast("float32"),
        bad_number=number.notnull() & ~finite,
        text_value=column("text_value", "string"),
        given=in_calendar(column("available_time", TIMESTAMP)),
        has_given=column("available_time", TIMESTAMP).notnull(),
        unit=column("unit", "string"),
    )
    rows = rows.left_join(ibis.memtable(spelt), "written").drop("written", "written_right")
    by_name = rows.by_name.fill_null(False) & rows.own_codings.isnull()
    rows = rows.mutate(codings=ibis.coalesce(rows.own_codings, rows.codings), note_by_name=by_name).drop("own_codings")
    rows = _with_numbers(rows, numbers)
    when = moment(rows.time.cast("date"), rows.time)
    derived = ibis.ifelse(rows.code == "MEDS_BIRTH", rows.time, when.known)
    return rows.mutate(
        available_time=rows.given if "available_time" in raw.columns else derived, is_new=ibis.literal(True)
    ).drop("given")


def _judged(rows: ir.Table) -> ir.Table:
    """Every row with `reason` and `mended`."""
    lives = rows.filter(rows.code.isin(["MEDS_BIRTH", "MEDS_DEATH"]))
    lives = lives.group_by("source_subject").agg(
        birth=lives.time.min(where=lives.code == "MEDS_BIRTH").cast("date"),
        death=lives.time.min(where=lives.code == "MEDS_DEATH").cast("date"),
    )
    rows = rows.left_join(lives, "source_subject").drop("source_subject_right")
    day = rows.time.cast("date")
    return rows.mutate(
        reason=ibis.cases(
            (rows.source_subject.isnull(), "no subject_id"),
            (rows.code.isnull(), "no code"),
            (rows.dated & rows.time.isnull(), BAD_DATE),
            (rows.has_given & rows.available_time.isnull(), f"available_time: {BAD_DATE}"),
            (day < rows.birth, BEFORE_BIRTH),
            (day > rows.death + ibis.interval(days=AFTER_DEATH_DAYS), LONG_AFTER_DEATH),
            else_=ibis.null("string"),
        ),
        mended=ibis.cases((rows.from_text, NUMBER_AS_TEXT), (rows.bad_number, BAD_NUMBER), else_=ibis.null("string")),
        note_after_death=(day > rows.death).fill_null(False),
    )


def _with_numbers(rows: ir.Table, numbers: pa.Table) -> ir.Table:
    """With the number, sign and unit that a fact's text says, where it has no number and is none of a person's own."""
    if not numbers.num_rows:
        return rows.mutate(from_text=ibis.literal(False))
    spoken = ibis.memtable(numbers)
    rows = rows.left_join(spoken, rows.text_value == spoken.as_text).drop("as_text")
    from_text = rows.said.notnull() & rows.numeric_value.isnull() & ~rows.bad_number & rows.dated
    from_text = from_text & ~rows.code.startswith("MEDS_")
    return rows.mutate(
        numeric_value=ibis.ifelse(from_text, rows.said.cast("float32"), rows.numeric_value),
        text_value=ibis.ifelse(from_text, rows.sign, rows.text_value),
        unit=ibis.ifelse(from_text, ibis.coalesce(rows.unit, rows.said_unit), rows.unit),
        from_text=from_text,
    ).drop("said", "sign", "said_unit")


def _with_subjects(space: Workspace, rows: ir.Table) -> tuple[ir.Table, ir.Table]:
    """Rows that are in, or that only another row keeps out, as events with their origins; and the identity map."""
    rows = rows.filter(rows.reason.isnull() | rows.reason.isin(CONTEXTUAL))
    people = rows.filter(rows.reason.isnull()).select("source_subject").distinct()
    people = people.select(source_id=people.source_subject.cast("string"), wish=people.source_subject)
    subjects = identity.assign(space.con, space.record_dir, source=SOURCE, people=people)
    numbers = subjects.select("subject_id", source_subject=subjects.source_id.cast("int64"))
    rows = rows.join(numbers, "source_subject")
    origins = {name: ibis.null(kind) for name, kind in origin_types().items()}
    rows = rows.mutate(
        **{**origins, "kind": ibis.literal("data"), "person": rows.source_subject}, day=rows.time.cast("date")
    )
    columns = (*EVENT_COLUMNS, *ORIGIN_COLUMNS, "day", "reason")
    return space.con.create_table("events", rows.select(columns)), subjects


# Sex as other writers of MEDS code it (MIMIC-IV's: https://github.com/Medical-Event-Data-Standard/MIMIC_IV_MEDS).
_OTHER_WORDS = {
    f"{prefix}//{written}": f"Gender//{kept}"
    for prefix in ("GENDER", "SEX")
    for written, kept in (("F", "F"), ("FEMALE", "F"), ("M", "M"), ("MALE", "M"))
}
SPELT = pa.schema([
    ("written", pa.string()), ("code", pa.string()), ("codings", pa.list_(pa.string())), ("by_name", pa.bool_()),
])  # fmt: skip
# Vocabularies that hold nothing but drugs. A name of anything else may hold a drug's ("poisoning by metformin").
_DRUG_CODES = frozenset(("AMT", "dm+d", "GPI", "NDC", "RxNorm", "RxNorm Extension", "Source/drug"))
# `MEDICATION//START//<name>`, `MEDICATION//<name>//Administered`, as the writer of MIMIC-IV has them; what was stopped,
# held or not given is no drug that somebody takes.
_GIVEN = frozenset(("start", "started", "restarted", "administered", "administered in other location"))


def _spelt(source: Path, raw: ir.Table) -> pa.Table:
    """Each code of the data as it is kept, with what its direct parents in other vocabularies make of it.

    A data set maps its own codes to standard ones by `parent_codes` (`LAB//50852` to `LOINC/4548-4`): such a parent is
    the same fact in another vocabulary. A parent in the code's own vocabulary is a broader concept, an ancestor.
    """
    written: list[str] = sorted(
        code for code in raw.select("code").distinct().to_pyarrow()["code"].cast(pa.string()).to_pylist() if code
    )
    parents, names = _parents(source), _descriptions(source)
    above = _ancestors(source, parents)
    rows = []
    for code in written:
        kept = _kept(code)
        others = {each for each in parents.get(kept, []) if _vocabulary(each) != _vocabulary(kept)}
        read = by_name((kept, *others, *above(kept)), _drug_names(kept, names.get(kept)))
        codings = sorted({*others, *read})
        rows.append({"written": code, "code": kept, "codings": codings or None, "by_name": bool(read)})
    return pa.Table.from_pylist(rows, schema=SPELT)


def _drug_names(code: str, description: str | None) -> tuple[str, ...]:
    """The names of what a code means, if that is a drug that is given."""
    if code.startswith("MEDICATION//"):
        parts = code.split("//")[1:]
        name = [part for part in parts if part.casefold() not in _GIVEN]
        return tuple(name) if len(name) == 1 else ()
    is_drug = _vocabulary(code) in _DRUG_CODES or code.startswith("Source/drug//")
    return (description,) if is_drug and description else ()


def _descriptions(source: Path) -> dict[str, str | None]:
    known = _read(source / "metadata" / "codes.parquet", CODES).to_pylist()
    return {_kept(row["code"]): row["description"] for row in known if row["code"]}


def _ancestors(source: Path, parents: dict[str, list[str]]) -> Callable[[str], Collection[str]]:
    """What stands above a code: by the data set's own table of ancestors, else by parent links."""
    path = source / "metadata" / "ancestors.parquet"
    if not path.exists():
        return lambda code: _above(code, parents)
    found: dict[str, list[str]] = defaultdict(list)
    for pair in _read(path, ANCESTORS).to_pylist():
        found[pair["code"]].append(pair["ancestor"])
    return lambda code: found.get(code, ())


def _kept(code: str) -> str:
    """A code as the record spells it; MEDS writes parents as VOCABULARY/CODE."""
    if "//" not in code and code.count("/") == 1 and not code.startswith("MEDS_"):
        code = code.replace("/", "//")
    return _OTHER_WORDS.get(code.upper()) or canonical_code("".join(char for char in code if char.isprintable()))


def _vocabulary(code: str) -> str:
    return code.partition("//")[0] if "//" in code else ""


def _parents(source: Path) -> dict[str, list[str]]:
    """Code -> its direct parents, both as the record spells them."""
    known = _read(source / "metadata" / "codes.parquet", CODES).to_pylist()
    return {_kept(row["code"]): [_kept(parent) for parent in row["parent_codes"] or ()] for row in known if row["code"]}


def _metadata(source: Path, events: ir.Table) -> tuple[pa.Table, pa.Table]:
    """Codes and ancestors of all codings of the events; ancestors by parents where the data set has no such table."""
    beside = events.filter(events.codings.notnull()).select(code=events.codings.unnest())
    used: list[str] = sorted(events.select("code").union(beside).distinct().to_pyarrow()["code"].to_pylist())
    by_code = {_kept(row["code"]): row for row in _read(source / "metadata" / "codes.parquet", CODES).to_pylist()}
    codes = pa.Table.from_pylist([{**by_code.get(code, {}), "code": code} for code in used], _nullable(CODES))
    path = source / "metadata" / "ancestors.parquet"
    if path.exists():
        return codes, _read(path, ANCESTORS)
    parents = _parents(source)
    pairs = sorted((code, ancestor) for code in used for ancestor in _above(code, parents))
    return codes, pa.Table.from_pylist([dict(zip(ANCESTORS.names, pair, strict=True)) for pair in pairs], ANCESTORS)


def _above(code: str, parents: dict[str, list[str]]) -> set[str]:
    """All ancestors by parent links; a cycle ends where it began."""
    seen: set[str] = set()
    waiting = list(parents.get(code, []))
    while waiting:
        parent = waiting.pop()
        if parent not in seen:
            seen.add(parent)
            waiting.extend(parents.get(parent, []))
    return seen - {code}


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    if not path.exists():
        return _nullable(schema).empty_table()
    with named(path.name, "Parquet"):
        table = pq.read_table(path)
    columns: dict[str, pa.Array] = defaultdict(lambda: pa.nulls(table.num_rows))
    columns.update({name: table[name] for name in table.column_names})
    return pa.table({field.name: columns[field.name].cast(field.type) for field in schema}).cast(_nullable(schema))


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])
