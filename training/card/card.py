"""The model card: every item of HTI-1 and TRIPOD+AI, from the run where it can say it, from a person where not.

What only a person can say and nobody has said is visibly blank. No item is ever dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from features.errors import PresageError, meant
from features.toml_files import read_toml
from training.card.facts import facts
from training.card.items import HTI1, QUESTIONS, TRIPOD_AI, Item
from training.external import ExternalResult
from training.result import Result
from training.shipped import Shipped

ANSWERS = Shipped("card", folder=Path(__file__).parents[1] / "studies" / "cards", own_name="card.toml")
By = Literal["run", "person", "nobody"]
LISTS = (
    ("HTI-1 source attributes", "45 CFR 170.315(b)(11)(iv)(B)", HTI1),
    ("TRIPOD+AI", "Collins et al., BMJ 2024;385:e078378", TRIPOD_AI),
)


@dataclass(frozen=True, slots=True)
class Filled:
    """An item with its text; `by` says who filled it. A blank item's text is the question that stands open."""

    item: Item
    text: str
    by: By


@dataclass(frozen=True, slots=True)
class Signature:
    """Who vouches for the card, and when (UTC, to the second)."""

    name: str
    at: str


@dataclass(frozen=True, slots=True)
class Card:
    """All items of both lists, in their order. lists: (title, source, items)."""

    study: str
    title: str
    lists: tuple[tuple[str, str, tuple[Filled, ...]], ...]
    signature: Signature | None = None

    @property
    def blank(self) -> tuple[str, ...]:
        """Questions that nobody has answered, in the order of QUESTIONS."""
        open_ = {f.item.answer for _, _, items in self.lists for f in items if f.by == "nobody"}
        return tuple(key for key in QUESTIONS if key in open_)

    def markdown(self) -> str:
        """The card as Markdown: one table for each list."""
        signed = "**not signed**" if self.signature is None else f"{self.signature.name}, {self.signature.at}"
        lines = [f"# Model card: {self.title}", "", f"- **Study**: {self.study}", f"- **Signed**: {signed}"]
        if self.blank:
            lines.append(f"- **Blank**: {len(self.blank)} answers that only a person can give")
        for title, source, items in self.lists:
            lines += ["", f"## {title}", "", source, "", "| item | asks | says | filled by |", "|---|---|---|---|"]
            lines += [_row(filled) for filled in items]
        return "\n".join(lines) + "\n"


def make_card(
    study: str,
    title: str,
    *,
    result: Result,
    manifest: Mapping[str, Any],
    answers: Mapping[str, str],
    validations: Sequence[ExternalResult] = (),
    signature: Signature | None = None,
) -> Card:
    """Fill every item. result: the training's; manifest: the bundle's; validations: newest first."""
    said = facts(result, manifest, validations=validations)
    lists = tuple(
        (name, source, tuple(_fill(item, said[name.split()[0]], answers=answers) for item in items))
        for name, source, items in LISTS
    )
    return Card(study, title or study, lists, signature)


def card_path(target: str | Path) -> Path:
    """The file of a card's answers that a user means: a path that exists, else the shipped card of that name.

    A folder means the card.toml inside it. Raises PresageError, which lists the names that ship, for anything else.

    >>> card_path("chd-10y").name
    'chd-10y.toml'
    """
    return ANSWERS.find(target)


def read_answers(path: Path) -> dict[str, str]:
    """A person's answers: TOML with a text for each key of QUESTIONS. Raises PresageError for another key or type."""
    document = read_toml(path, expected="a card file", way_out="write one as docs/models.md shows")
    for key, value in document.items():
        if key not in QUESTIONS:
            raise PresageError(f"{path}, {key}", f"a key among {', '.join(QUESTIONS)}", way_out=meant(key, QUESTIONS))
        if not isinstance(value, str):
            raise PresageError(f"{path}, {key}", "a text in quotes")
    return {key: value.strip() for key, value in document.items() if value.strip()}


def answers_toml(answers: Mapping[str, str]) -> str:
    """Answers as the file that `read_answers` reads; questions without one are comments."""
    lines = []
    for key, question in QUESTIONS.items():
        escaped = answers.get(key, "").replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines += [f"# {question}", f'{key} = "{escaped}"', ""]
    return "\n".join(lines)


def _fill(item: Item, said: Mapping[str, str], *, answers: Mapping[str, str]) -> Filled:
    fact = said.get(item.number, "")
    if item.answer is None:
        if not fact:
            raise ValueError(f"item {item.number} of the card has no question to a person, so the run was to state it")
        return Filled(item, fact, "run")
    answer = answers.get(item.answer, "").strip()
    if not answer:
        return Filled(item, f"{fact} To be filled by a person: {QUESTIONS[item.answer]}".strip(), "nobody")
    return Filled(item, f"{answer} {fact}".strip(), "person")


def _row(filled: Filled) -> str:
    text = filled.text.replace("|", "\\|").replace("\n", " ")
    text = f"**[blank]** {text}" if filled.by == "nobody" else text
    return f"| {filled.item.number} | {filled.item.asks} | {text} | {filled.by} |"
