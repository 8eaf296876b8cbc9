"""Files that people write in TOML (studies, policies, cards): read strictly, and what is wrong said of file and key."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from features.errors import PresageError, meant

_UNMET = "presage"
# By Pydantic's name of the error; its context fills the gaps.
_EXPECTED = {
    "missing": "this key",
    "string_type": "a text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list in [ ]",
    "list_type": "a list in [ ]",
    "dict_type": "a section of its own",
    "model_type": "a section of its own",
    "date_type": "a date YYYY-MM-DD",
    "date_parsing": "a date YYYY-MM-DD",
    "date_from_datetime_parsing": "a date YYYY-MM-DD",
    "literal_error": "{expected}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "too_short": "at least {min_length} in the list",
    "too_long": "at most {max_length} in the list",
    "string_too_short": "a text that is not empty",
    "string_too_long": "at most {max_length} characters",
}


def read_toml(path: Path, *, expected: str, way_out: str | None = None) -> dict[str, Any]:
    """The document of a TOML file in UTF-8. `expected`, `way_out`: what to say where there is no such file.

    Raises PresageError for no file, another encoding, and text that is not TOML (with line and column).

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "aml.toml"
    ...     _ = path.write_text('name = "aml"')
    ...     read_toml(path, expected="a study file")
    {'name': 'aml'}
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise PresageError(str(path), expected, found="no such file", way_out=way_out) from None
    except IsADirectoryError:
        raise PresageError(str(path), expected, found="a folder", way_out=way_out) from None
    except UnicodeDecodeError:
        raise PresageError(str(path), "text in UTF-8", found="another encoding", way_out="save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).removesuffix(")").partition(" (at ")
        where = f"{path}, {place}" if place else str(path)
        raise PresageError(where, "TOML", found=f"what its reader calls '{message}'") from None


def as_toml(document: Mapping[str, Any]) -> str:
    """The text of a TOML file that holds this document: texts, numbers, dates, lists of them, and sections.

    >>> print(as_toml({"name": "aml", "outcome": {"event": "died", "horizons_days": (365.0,)}}))
    name = "aml"
    <BLANKLINE>
    [outcome]
    event = "died"
    horizons_days = [365]
    <BLANKLINE>
    """
    return _section(document, within="")


def _section(document: Mapping[str, Any], *, within: str) -> str:
    """Values first, then a table for each section."""
    values = [f"{_key(name)} = {_value(value)}\n" for name, value in document.items() if not isinstance(value, dict)]
    tables = []
    for name, table in document.items():
        if isinstance(table, dict):
            path = f"{within}.{_key(name)}".lstrip(".")
            only_tables = bool(table) and all(isinstance(value, dict) for value in table.values())
            tables.append(("" if only_tables else f"\n[{path}]\n") + _section(table, within=path))
    return "".join(values + tables)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(each) for each in value)}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, date) else repr(value)


@contextmanager
def naming_keys(path: Path, model: type[BaseModel]) -> Iterator[None]:
    """Turn the first key that `model` refuses into a PresageError of this file, its section and key.

    >>> class Models(BaseModel, extra="forbid"):
    ...     candidates: tuple[str, ...] = ()
    >>> class Study(BaseModel, extra="forbid"):
    ...     models: Models
    >>> with naming_keys(Path("aml.toml"), Study):
    ...     Study.model_validate({"models": {"candidate": ["cox"]}})
    Traceback (most recent call last):
    features.errors.PresageError: aml.toml, [models] candidate: expected a key among candidates (write 'candidates' if \
that is meant)
    >>> with naming_keys(Path("aml.toml"), Study):
    ...     Study.model_validate({"models": {"candidates": ["cox", 3]}})
    Traceback (most recent call last):
    features.errors.PresageError: aml.toml, [models] candidates, item 2: expected a text in quotes
    """
    try:
        yield
    except ValidationError as error:
        raise wrong_key(error, str(path), model=model) from None


def wrong_key(error: ValidationError, where: str, *, model: type[BaseModel]) -> PresageError:
    """The first key that `model` refused, of a document that errors call `where`; a key that it does not know first."""
    faults = error.errors(include_url=False)
    misspelt = (fault for fault in faults if fault["type"] == "extra_forbidden")  # which leaves another key missing
    return _as_ours(next(misspelt, faults[0]), where, model=model)


def unmet(key: str, expected: str, *, found: str | None = None, way_out: str | None = None) -> PydanticCustomError:
    """What a validator raises. `key`: the key that is wrong, below what is validated ("" for that itself).

    >>> str(unmet("age_years", "the lower age first", found="79, 40"))
    'age_years: expected the lower age first, found 79, 40'
    """
    error = PresageError(key, expected, found=found, way_out=way_out)
    told = {"key": key, "expected": expected, "found": found or "", "way_out": way_out or ""}
    return PydanticCustomError(_UNMET, "{fault}", told | {"fault": error.fault if key else f"expected {error.rule}"})


def spelt(pattern: str, expected: str) -> AfterValidator:
    """A text that fits this pattern as a whole; `expected` says in words what the pattern asks for.

    >>> from pydantic import TypeAdapter
    >>> TypeAdapter(Annotated[str, spelt("[a-z]+", "small letters")]).validate_python("aml")
    'aml'
    """

    def check(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise unmet("", expected)
        return text

    return AfterValidator(check)


def _as_ours(first: ErrorDetails, document: str, *, model: type[BaseModel]) -> PresageError:
    kind, told, steps = first["type"], dict(first.get("ctx", {})), list(first["loc"])
    if kind == _UNMET:
        steps += [step for step in str(told["key"]).split(".") if step]
        where = _where(document, model, steps=steps)
        return PresageError(where, told["expected"], found=told["found"] or None, way_out=told["way_out"] or None)
    is_section = kind == "extra_forbidden" and isinstance(first["input"], dict)
    where = _where(document, model, steps=steps, is_section=is_section)
    if kind == "extra_forbidden":
        known = _keys(model, steps[:-1])
        what = "section" if is_section else "key"
        return PresageError(where, f"a {what} among {', '.join(known)}", way_out=meant(str(steps[-1]), known))
    if kind in _EXPECTED:
        found = "none" if kind == "missing" else str(told["actual_length"]) if "actual_length" in told else None
        return PresageError(where, _EXPECTED[kind].format(**told), found=found)
    message = re.sub(r"^(Value error, |Input should be )", "", first["msg"])
    return PresageError(where, message[:1].lower() + message[1:])


def _where(document: str, model: type[BaseModel], *, steps: Sequence[int | str], is_section: bool = False) -> str:
    """The document, then `[section] key, item 2` or `[[section]] 2, key`, as TOML writes them."""
    parts, tables, key = [document], list[str](), ""
    opened: list[str] = []  # the table whose header is written already
    kind: Any = model
    for position, step in enumerate(steps):
        inner = _inner(kind, step)
        if isinstance(step, int):
            if _is_table(inner):
                parts.append(f"[[{'.'.join(tables)}]] {step + 1}")
                opened = list(tables)
            else:
                parts, key = [*parts, _heading(tables, opened, key=key)], f"item {step + 1}"
                tables = opened = []
        elif _is_table(inner) or _holds_tables(inner) or (is_section and position == len(steps) - 1):
            tables.append(step)
        else:
            key = step
        kind = inner
    last = _heading(tables, opened, key=key)
    return ", ".join(part for part in (*parts, f"[{last}]" if _holds_tables(kind) else last) if part)


def _heading(tables: Sequence[str], opened: Sequence[str], *, key: str) -> str:
    return " ".join(part for part in ("" if tables == opened else f"[{'.'.join(tables)}]", key) if part)


def _keys(model: type[BaseModel], steps: Sequence[int | str]) -> list[str]:
    kind: Any = model
    for step in steps:
        kind = _inner(kind, step)
    return list(kind.model_fields)


def _inner(kind: Any, step: int | str) -> Any:
    """The annotation of a key or an item; None where the model has none."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _bare(kind.model_fields[str(step)].annotation) if step in kind.model_fields else None
    args = get_args(kind)
    if get_origin(kind) is dict:
        return _bare(args[1])
    return _bare(args[0]) if args else None


def _bare(annotation: Any) -> Any:
    """Without what may be absent and without constraints."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _bare(next(each for each in get_args(annotation) if each is not type(None)))
    return annotation


def _is_table(kind: Any) -> bool:
    return get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel))


def _holds_tables(kind: Any) -> bool:
    return get_origin(kind) in (tuple, list) and _is_table(_bare(get_args(kind)[0]))
