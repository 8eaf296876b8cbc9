"""The rows a study learns from: features, outcome, who, in which groups and blocks, and who was lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from features.arrays import Bools, Ints, Strings
from features.frame import FeatureFrame
from features.record import Tells
from training.cohort.outcome import EVENT, Outcome

if TYPE_CHECKING:
    import pandas as pd

CARRIER = "carrier_"  # how the features begin that tell carriers of (likely) pathogenic variants


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the attrition table: what was asked for, and how many are left."""

    step: str
    people: int
    rows: int


@dataclass(frozen=True, slots=True)
class Dosages:
    """Counts of the effect allele, (n, m) float32, NaN where not called; `called` (n,) says whose genotypes exist.

    others: the other allele of each variant; empty where nobody knows them.
    """

    variants: tuple[str, ...]
    alleles: tuple[str, ...]
    values: npt.NDArray[np.float32]
    called: Bools
    others: tuple[str, ...] = ()

    def take(self, rows: Ints) -> Dosages:
        """The same variants for these rows."""
        return Dosages(self.variants, self.alleles, self.values[rows], self.called[rows], self.others)


@dataclass(frozen=True, slots=True)
class Block:
    """Features that are added together, to see what they add. A genomic block may hold no feature but the dosages."""

    name: str
    features: tuple[str, ...]
    genomic: bool


@dataclass(frozen=True, slots=True)
class Described:
    """What a feature is called and belongs to. monotone: 1 risk never falls as it rises, -1 never rises, 0 free."""

    label: str
    family: str
    modifiable: bool = False
    monotone: int = 0


@dataclass(frozen=True, slots=True)
class Suspect:
    """A feature of a flat table that looks as if it knew the outcome. reason: why it may be used, by the study."""

    feature: str
    words: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Cohort:
    """n index rows. Rows of one person share `frame.subject_ids`.

    ids: (n,) what predictions are written under: the table's id, or the subject_id of a record.
    genotyped: (n,) whether the combined model may serve this row; why_not: (n,) the reason where it may not.
    groups: (n,) label of each equity column; None where unknown. columns: what the validation scheme reads.
    described: features by name; codes are not among them.
    tells: what the record that the frame is of can tell. catalogue_json, catalogue_hash: what builds the frame from it.
    equation: the published equation that the study names, whose inputs stand in the frame.
    genomic_required: features without which the combined model does not serve. left_out: features that the study's
    blocks do not name. suspects: features that look like the outcome; None where nobody has looked. `as_of` is NaT in a
    flat table without an index date.
    """

    frame: FeatureFrame
    outcome: Outcome
    ids: Strings
    blocks: tuple[Block, ...]
    genotyped: Bools
    why_not: Strings
    groups: Mapping[str, Strings]
    columns: Mapping[str, Strings] = field(default_factory=dict)
    dosages: Dosages | None = None
    attrition: tuple[Step, ...] = ()
    catalogue_json: str | None = None
    catalogue_hash: str | None = None
    code_prevalence: float | None = None
    age_feature: str | None = None
    genomic_required: tuple[str, ...] = ()
    described: Mapping[str, Described] = field(default_factory=dict)
    tells: Tells | None = None
    equation: str | None = None
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    suspects: tuple[Suspect, ...] | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        """Counts only: nobody's values."""
        from training.card import count

        events = count(len(np.unique(self.persons[self.outcome.event == EVENT])))
        blocks = ", ".join(f"{block.name} ({len(block.features):,} features)" for block in self.blocks)
        people = len(np.unique(self.persons))
        return f"<Cohort: {len(self):,} rows of {people:,} people, {events} of them with the event; blocks {blocks}>"

    def _repr_html_(self) -> str:
        """Who was lost on the way: nobody's values."""
        from training.card import count
        from training.disclosure import shown_steps

        steps = "".join(
            f"<tr><td>{escape(one.step)}</td><td>{count(one.people)}</td></tr>" for one in shown_steps(self.attrition)
        )
        head = "<tr><th>who is left</th><th>people</th></tr>"
        return f"<p>{escape(repr(self)[1:-1])}</p><table>{head}{steps}</table>"

    def to_pandas(self) -> pd.DataFrame:
        """The features, then `time_days` (where the outcome has one) and `event`: a row for each id and index date.

        event: 0 censored, 1 event, 2 competing event; of a binary outcome 0 no and 1 yes.
        """
        import pandas as pd

        table = self.frame.to_pandas()
        table.index = pd.MultiIndex.from_arrays([self.ids, self.as_of], names=["id", "as_of"])
        if self.outcome.horizons_days:
            table["time_days"] = self.outcome.time_days
        return table.assign(event=self.outcome.event)

    @property
    def persons(self) -> Ints:
        """(n,) the person of each row."""
        return self.frame.subject_ids

    @property
    def as_of(self) -> npt.NDArray[np.datetime64]:
        """(n,) the index moment of each row."""
        return self.frame.as_of

    @property
    def monotone(self) -> dict[str, int]:
        """Features that risk may only rise (1) or fall (-1) with."""
        return {name: found.monotone for name, found in self.described.items() if found.monotone}

    @property
    def clinical_names(self) -> tuple[str, ...]:
        """Features of the blocks that everybody has."""
        return tuple(name for block in self.blocks if not block.genomic for name in block.features)

    @property
    def equation_names(self) -> tuple[str, ...]:
        """The clinical features, and inputs of the equation that are none of them."""
        from features.equations import EQUATIONS

        inputs = () if self.equation is None else EQUATIONS[self.equation].inputs
        return tuple(dict.fromkeys((*self.clinical_names, *inputs)))

    @property
    def genomic_names(self) -> tuple[str, ...]:
        """Features of the genomic blocks."""
        return tuple(name for block in self.blocks if block.genomic for name in block.features)

    @property
    def horizons(self) -> tuple[float, ...]:
        """Horizons in days; (nan,) for a binary outcome."""
        return self.outcome.horizons_days or (float("nan"),)

    @property
    def family(self) -> Literal["binary", "time to event"]:
        """Which learners apply."""
        return "time to event" if self.outcome.horizons_days else "binary"


@dataclass(frozen=True, slots=True)
class References:
    """Risks of every cohort row that no candidate made, (n,) at the last horizon; NaN where they do not apply.

    equation: of the published equation; None where the study names none, or one of another horizon.
    """

    equation: npt.NDArray[np.float64] | None = None
    equation_name: str | None = None
    oracle: npt.NDArray[np.float64] | None = None


def people_and_rows(step: str, persons: Ints) -> Step:
    """The attrition line of what is left now."""
    return Step(step, people=len(np.unique(persons)), rows=len(persons))
