"""Promotion: a version becomes the champion where its gate passes, or by an override that is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from features.errors import PresageError
from features.shown import Shown
from training.bundle import Bundle
from training.card import QUESTIONS, Card, Signature
from training.registry import Rule, bundle_of, card_of, keep_card, keep_decision, kept_answers, moment
from training.registry.gate import gate
from training.report import render_card
from training.study import Gate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, repr=False)
class Promotion(Shown):
    """What `presage promote` decided."""

    model: str
    version: int
    promoted: bool
    rules: tuple[Rule, ...]
    overridden: str | None = None

    def to_pandas(self) -> pd.DataFrame:
        """The gate's rules: rule, verdict and why."""
        import pandas as pd

        rows = [(rule.name, rule.verdict, rule.why) for rule in self.rules]
        return pd.DataFrame(rows, columns=["rule", "verdict", "why"])

    def __repr__(self) -> str:
        """What was decided, in a line."""
        how = "not promoted" if not self.promoted else "champion by override" if self.overridden else "champion"
        return f"<Promotion of {self.model} version {self.version}: {how}>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The rules, then the decision."""
        table = Table(title=f"{self.model}, version {self.version}", title_justify="left")
        table.add_column("rule")
        table.add_column("verdict")
        table.add_column("why", overflow="fold")
        colours = {"pass": "green", "fail": "bold red", "not applicable": "dim"}
        for rule in self.rules:
            table.add_row(rule.name, Text(rule.verdict, style=colours[rule.verdict]), Text(rule.why))
        yield table
        if not self.promoted:
            yield Text.assemble(
                ("Not promoted.", "bold red"),
                " --override --reason '...' --signed-by NAME promotes anyway and is recorded.",
            )
        elif self.overridden:
            yield Text.assemble(("Champion by override: ", "yellow"), self.overridden)
        else:
            yield Text(f"{self.model} version {self.version} is the champion.", style="green")


def promote(
    model: str,
    version: int,
    *,
    now: datetime,
    answers: Mapping[str, str] | None = None,
    signed_by: str | None = None,
    override: bool = False,
    reason: str | None = None,
    ask: Callable[[str, str], str] | None = None,
) -> Promotion:
    """Make this version the champion where its gate passes, or by an override; who, when and why are recorded.

    answers: what a person says on the card; absent: what was said at an earlier attempt. signed_by: who vouches for
    it. ask: how to get an answer that is still blank (key, question), at a terminal. A version that fails becomes the
    challenger. Raises PresageError for an unknown model or version, or an override without a reason or a name.
    """
    if override and not (reason or "").strip():
        raise PresageError(
            "--override", "a reason", found="none", way_out="add --reason '...', which is recorded with the model"
        )
    if override and not (signed_by or "").strip():
        raise PresageError(
            "--override",
            "the name of who overrides",
            found="none",
            way_out="add --signed-by NAME, which is recorded with the model",
        )
    bundle = bundle_of(model, version)
    card = _signed(model, version, bundle=bundle, answers=answers, signed_by=signed_by, ask=ask, now=now)
    signer = None if card.signature is None else card.signature.name
    rules = gate(
        bundle.report(),
        Gate.model_validate(bundle.manifest["gate"]),
        flat=bool(bundle.manifest.get("flat")),
        signed_by=signer,
        blank=card.blank,
    )
    failed = [rule for rule in rules if rule.verdict == "fail"]
    promoted = not failed or override
    tags = {"gate": json.dumps([[r.name, r.verdict, r.why] for r in rules]), "gate_at": moment(now)}
    if failed and override:
        tags |= {
            "gate_override_reason": str(reason),
            "gate_override_by": str(signed_by),
            "gate_override_at": moment(now),
        }
    keep_decision(model, version, tags=tags, promoted=promoted)
    return Promotion(model, version, promoted, rules, reason if failed and override else None)


def _signed(
    model: str,
    version: int,
    *,
    bundle: Bundle,
    answers: Mapping[str, str] | None,
    signed_by: str | None,
    ask: Callable[[str, str], str] | None,
    now: datetime,
) -> Card:
    """The version's card with these answers; kept with its run where there is anything new to keep."""
    said = dict(kept_answers(model, version) if answers is None else answers)
    if ask is not None:
        said |= {key: text for key in QUESTIONS if not said.get(key) if (text := ask(key, QUESTIONS[key]).strip())}
    signature = Signature(signed_by, moment(now)) if signed_by else None
    card = card_of(model, version, bundle=bundle, answers=said, signature=signature)
    if said or signature is not None:
        keep_card(model, version, card=card, answers=said, page=render_card(card))
    return card
