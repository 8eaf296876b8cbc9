"""A study: what is predicted, for whom, from what, and how it is validated. One TOML file, read strictly."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from features.errors import PresageError, meant
from features.toml_files import as_toml, read_toml, spelt, unmet, wrong_key
from training.shipped import Shipped

STUDIES = Shipped("study", folder=Path(__file__).with_name("studies"), own_name="study.toml")
GENOMIC_WORDS = (
    "genom",
    "genetic",
    "gene",
    "polygenic",
    "monogenic",
    "mutation",
    "variant",
    "germline",
    "somatic",
    "snp",
)


def _increasing(days: tuple[float, ...]) -> tuple[float, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(days)):
        raise unmet("", "days that increase")
    return days


def _written_out(given: Any) -> Any:
    """One value is a list of one, and numbers are their text: `positive = 2` is `positive = ["2"]`."""
    several = given if isinstance(given, (list, tuple)) else [given]
    return tuple(_as_text(one) if isinstance(one, (bool, int, float)) else one for one in several)


def _as_text(value: float) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.15g}"


TimeUnit = Literal["days", "weeks", "months", "years"]
DAYS_IN: Mapping[TimeUnit, float] = {"days": 1.0, "weeks": 7.0, "months": 30.4375, "years": 365.25}
Horizons = Annotated[tuple[Annotated[float, Field(gt=0)], ...], AfterValidator(_increasing)]
Values = Annotated[tuple[str, ...], BeforeValidator(_written_out)]
DEATH = ("MEDS_DEATH",)
BASE = "clinical"  # what the block of features that everybody has is called where the study names none


class Section(BaseModel):
    """A table of a study file: keys that it does not know are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Population(Section):
    """Who is studied, and the moments at which they are looked at."""

    index: str = "yearly"  # every 1 January, "first:CODELIST", or one date
    index_from: date | None = None
    index_until: date | None = None
    index_years: tuple[int, ...] = ()  # yearly: only 1 January of these
    age_years: tuple[int, int] = (0, 130)  # both ends included
    history_days: int = Field(default=0, ge=0)  # of enrolment before the index
    exclude: tuple[str, ...] = ()  # code lists, or codes, on or before the index
    sex: Literal["F", "M"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Population:
        if self.age_years[0] > self.age_years[1]:
            raise unmet("age_years", "the lower age first", found=" and ".join(map(str, self.age_years)))
        if self.index != "yearly" and not self.index.startswith("first:"):
            try:
                date.fromisoformat(self.index)
            except ValueError:
                raise unmet("index", "'yearly', 'first:CODELIST' or a date YYYY-MM-DD") from None
        return self


class Source(Section):
    """A flat table: one row per person or per person and moment."""

    table: str | None = None  # absent: handed over when the study is trained, from Python
    id: str | None = None  # absent: each row is a person
    genotypes: str | None = None  # PLINK .bed or .pgen, joined on id
    index_date: str | None = None  # the column that validation.test_from compares with


class OutcomeSection(Section):
    """What is predicted: codes in a record, columns in a flat table."""

    codes: str | None = None
    name: str | None = None  # how a truth file calls it
    competing: Values = DEATH  # code lists or codes; of a flat table, values of `event` that count as 2
    washout_days: int | None = Field(default=None, ge=0)  # without the outcome before the index; absent: ever
    time: str | None = None
    event: str | None = None
    positive: Values = ()  # values of `event` that count as 1, or ">= 49"; absent: it holds 0, 1 (and 2)
    time_unit: TimeUnit | None = None  # of the column `time` and of `horizons`; absent: days
    horizons_days: Horizons = ()  # or `horizons`, in `time_unit`

    @model_validator(mode="before")
    @classmethod
    def _in_days(cls, given: Any) -> Any:
        """Horizons in the table's own unit become days, which is what every other part of Presage counts in."""
        if not isinstance(given, Mapping) or "horizons" not in given:
            return given
        if given.get("horizons_days"):
            raise unmet("", "either horizons or horizons_days", found="both")
        unit, own = given.get("time_unit"), given["horizons"]
        if unit is None:
            raise unmet("time_unit", f"one of {', '.join(DAYS_IN)}, as horizons are in it", found="none")
        days = own
        if unit in DAYS_IN and isinstance(own, (list, tuple)):
            days = [h * DAYS_IN[unit] if isinstance(h, (int, float)) else h for h in own]
        return {name: value for name, value in given.items() if name != "horizons"} | {"horizons_days": days}

    @property
    def competing_values(self) -> tuple[str, ...]:
        """Of a flat table: the values of `event` that are a competing event, where the study names any."""
        return () if self.competing == DEATH else self.competing


class FeaturesSection(Section):
    """What it is predicted from."""

    families: tuple[str, ...] = ("demographics", "measurements")
    polygenic: tuple[str, ...] = ()
    equation: str | None = None
    only: tuple[str, ...] = ()  # names or globs; absent: every feature of the families, or column of the table
    exclude: tuple[str, ...] = ()
    blocks: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # names or globs, nested in this order
    rest: str | None = None  # the block that takes features which no block names; absent: they are left out
    genomic_blocks: tuple[str, ...] | None = None  # absent: the blocks whose name says so
    required: tuple[str, ...] = ()  # features without which nobody is scored
    monotone: dict[str, Literal[-1, 0, 1]] = Field(default_factory=dict)  # name or glob: 1 risk never falls as it rises
    modifiable: tuple[str, ...] = ()  # names or globs that care can change, of a flat table
    categories: tuple[str, ...] = ()  # names or globs of columns that are categories although they hold numbers
    explained: dict[str, str] = Field(default_factory=dict)  # why a column that looks like the outcome is known before

    @model_validator(mode="before")
    @classmethod
    def _rest_among_blocks(cls, given: Any) -> Any:
        """`rest = "clinical"` may stand in the section of the blocks, too."""
        blocks = given.get("blocks") if isinstance(given, Mapping) else None
        if isinstance(blocks, Mapping) and isinstance(blocks.get("rest"), str):
            named = {name: listed for name, listed in blocks.items() if name != "rest"}
            return {"rest": blocks["rest"], **given, "blocks": named}
        return given

    @model_validator(mode="after")
    def _check(self) -> FeaturesSection:
        known = dict.fromkeys((*self.blocks, BASE))
        if self.rest is not None and self.rest not in known:
            raise unmet("rest", f"a block among {', '.join(known)}", way_out=meant(self.rest, known))
        for name, reason in self.explained.items():
            if not reason.strip():
                raise unmet(f"explained.{name}", "the reason why it is known at the index", found="none")
        return self

    def is_genomic(self, block: str) -> bool:
        """Whether a block holds genomic results, which not everybody has."""
        if self.genomic_blocks is not None:
            return block in self.genomic_blocks
        return any(word in block.lower() for word in GENOMIC_WORDS)


class Models(Section):
    """Which learners compete."""

    candidates: tuple[str, ...] = ()  # absent: the stack and its members
    min_matched_weight: float = Field(default=0.75, ge=0, le=1)  # of a polygenic score; below: clinical model


class Validation(Section):
    """How performance is estimated on people the models have not seen."""

    folds: int | None = Field(default=None, ge=2)
    repeats: int = Field(default=1, ge=1)
    fold_column: str | None = None
    fold_file: str | None = None  # set,iteration,row_id or id,fold
    test_from: date | None = None
    test_column: str | None = None
    site_column: str | None = None
    test_share: float = Field(default=0.4, gt=0, lt=1)  # of the people, held out for the test
    bootstraps: int = Field(default=200, ge=0)
    cutoffs: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()  # risks one acts at; absent: the incidence
    capacities: tuple[Annotated[float, Field(gt=0, le=1)], ...] = (0.05,)  # shares of people a team can take on

    @model_validator(mode="after")
    def _one_scheme(self) -> Validation:
        names = ("folds", "fold_column", "fold_file", "test_from", "test_column", "site_column")
        chosen = [name for name in names if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise unmet("", "one scheme", found=" and ".join(chosen))
        return self


class Equity(Section):
    """Subgroups every metric is repeated in."""

    groups: tuple[str, ...] = ()
    min_people: int = Field(default=50, ge=11)


class Gate(Section):
    """What a model must show before it may be the champion."""

    beats_equation: bool = True
    calibration_slope: tuple[float, float] = (0.8, 1.25)
    max_subgroup_gap: float = Field(default=0.15, gt=0)  # in AUC, between groups of enough people
    leakage_proof: bool = True
    card_signed: bool = True
    columns_explained: bool = True  # of a flat table: those that look like the outcome, if there are any


class Study(Section):
    """The whole study: read from a TOML file by `Study.read`, or made in Python from the file's keys.

    In Python a section is a dictionary, and paths are relative to the folder that Python works in. Raises PresageError
    naming the first key that is wrong.

    >>> study = Study(name="lymphoma", outcome={"time": "days", "event": "died"})
    >>> study.outcome.event
    'died'
    """

    name: Annotated[
        str,
        spelt(r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, dots, hyphens and underscores, a letter or digit first"),
    ]
    title: str = ""
    kind: Literal["predictive"] = "predictive"
    source: Source | None = None
    population: Population = Population()
    outcome: OutcomeSection
    features: FeaturesSection = FeaturesSection()
    models: Models = Models()
    validation: Validation = Validation()
    equity: Equity = Equity()
    gate: Gate = Gate()
    _path: Path | None = PrivateAttr(default=None)  # the file it was read from
    _text: str | None = PrivateAttr(default=None)

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: str,
            outcome: OutcomeSection | Mapping[str, Any],
            title: str = "",
            kind: Literal["predictive"] = "predictive",
            source: Source | Mapping[str, Any] | None = None,
            population: Population | Mapping[str, Any] = ...,
            features: FeaturesSection | Mapping[str, Any] = ...,
            models: Models | Mapping[str, Any] = ...,
            validation: Validation | Mapping[str, Any] = ...,
            equity: Equity | Mapping[str, Any] = ...,
            gate: Gate | Mapping[str, Any] = ...,
        ) -> None: ...

    @classmethod
    def read(cls, path: str | PathLike[str]) -> Study:
        """The study of a TOML file, or of those that ship with Presage the one of this name.

        Paths in the file are relative to it.

        >>> Study.read("chd-10y").title
        '10-year risk of coronary disease'
        """
        return read_study(study_path(Path(path)))

    @model_validator(mode="after")
    def _check(self) -> Study:
        if self.source is None:
            if self.outcome.codes is None:
                raise unmet("outcome.codes", "the outcome's code list, as the study is of a record", found="none")
            if not self.outcome.horizons_days:
                raise unmet("outcome.horizons_days", "at least one horizon, as the study is of a record", found="none")
        elif self.outcome.event is None:
            raise unmet("outcome.event", "the column that holds the outcome", found="none")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _named(cls, given: Any, handler: ModelWrapValidatorHandler[Study], info: ValidationInfo) -> Study:
        """A wrong key is a PresageError that names it, wherever the study comes from; last, as it wraps the others."""
        try:
            return handler(_with_source(given))
        except ValidationError as error:
            called = given.get("name", "") if isinstance(given, Mapping) else ""
            where = (info.context or {}).get("where") or f"study {called}".strip()
            raise wrong_key(error, where, model=Study) from None

    @property
    def is_flat(self) -> bool:
        """Whether the source is a flat table rather than a record."""
        return self.source is not None

    @property
    def code_lists(self) -> tuple[str, ...]:
        """The files of codes that the study names, relative to its own folder, in alphabetical order."""
        named = [self.outcome.codes, *(() if self.is_flat else self.outcome.competing), *self.population.exclude]
        named.append(self.population.index.removeprefix("first:"))
        return tuple(sorted({entry for entry in named if entry is not None and entry.endswith(".csv")}))

    @property
    def folder(self) -> Path:
        """The folder that its paths are relative to."""
        return Path() if self._path is None else self._path.parent

    @property
    def where(self) -> str:
        """What an error calls the study: its file, or its name where it was made in Python."""
        return f"study {self.name}" if self._path is None else str(self._path)

    def digest(self) -> str:
        """SHA-256 of the validated study; the same for files that differ in comments and order only."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def changed(self, **keys: Any) -> Study:
        """The study with other values of some keys; the other keys of a section stay as they are.

        >>> study = Study(name="aml", outcome={"event": "died"}, validation={"folds": 5})
        >>> study.changed(validation={"bootstraps": 50}).validation.folds
        5
        """
        document = self.model_dump(exclude_defaults=True)
        for key, value in keys.items():
            here = document.get(key)
            document[key] = {**here, **value} if isinstance(here, dict) and isinstance(value, Mapping) else value
        made = Study.model_validate(document, context={"where": self.where})
        made._path = self._path
        return made

    def to_toml(self) -> str:
        """The text of its file: as it was read, or written from the keys that differ from their defaults.

        >>> print(Study(name="aml", source={"table": "aml.csv"}, outcome={"event": "died"}).to_toml())
        name = "aml"
        <BLANKLINE>
        [source]
        table = "aml.csv"
        <BLANKLINE>
        [outcome]
        event = "died"
        <BLANKLINE>
        """
        if self._text is not None:
            return self._text
        return as_toml(self.model_dump(exclude_defaults=True, exclude_none=True))

    def __repr__(self) -> str:
        """What is predicted, and from where, in a line."""
        days = " and ".join(f"{days:g}" for days in self.outcome.horizons_days)
        by = f" by {days} days" if days else ""
        source = "a flat table" if self.is_flat else "a record"
        return f"<Study {self.name} of {source}: outcome {self.outcome.event or self.outcome.codes}{by}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.to_toml())}</pre>"

    def __eq__(self, other: object) -> bool:
        """Two studies are equal where their keys are, whatever file they were read from."""
        return isinstance(other, Study) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]  # as a model's that holds a dictionary


def shipped_study(name: str) -> Path:
    """The file of a study that ships with Presage; the code lists that it names lie beside it.

    Raises PresageError, which lists the names that ship, where none is called so.

    >>> shipped_study("chd-10y").name
    'chd-10y.toml'
    """
    return STUDIES.named(name)


def study_path(target: str | Path) -> Path:
    """The study file that a user means: a path that exists, else the shipped study of that name.

    A folder means the study.toml inside it. Raises PresageError, which lists the names that ship, for anything else.

    >>> study_path("chd-10y") == shipped_study("chd-10y")
    True
    """
    return STUDIES.find(target)


def read_study(path: Path) -> Study:
    """Read and validate. Raises PresageError naming the file and the first key that is wrong."""
    document = read_toml(path, expected="a study file")
    study = Study.model_validate(document, context={"where": str(path)})
    study._path, study._text = path, path.read_text(encoding="utf-8-sig")
    return study


def _with_source(given: Any) -> Any:
    """A study whose outcome is a column, and not codes, has a flat table for its source, named or not."""
    outcome = given.get("outcome") if isinstance(given, Mapping) else None
    keys = outcome if isinstance(outcome, Mapping) else getattr(outcome, "model_fields_set", ())
    if "event" in keys and "codes" not in keys and given.get("source") is None:
        return {**given, "source": {}}
    return given


@contextmanager
def naming_the_study(where: str | Path) -> Iterator[None]:
    """What is wrong with a key (`[validation] folds`) once the data are known is said of the study's file, too."""
    try:
        yield
    except PresageError as error:
        if not error.where.startswith("["):
            raise
        raise error.at(f"{where}, {error.where}") from None
