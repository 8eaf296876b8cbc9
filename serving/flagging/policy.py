"""The policy: who is flagged, for what action, by whom and until when. A versioned TOML file of its own."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from features.errors import PresageError, meant
from features.findings import SOURCE, listed_genes
from features.toml_files import naming_keys, read_toml, spelt, unmet
from serving.store import PolicyRow
from training.shipped import Shipped

POLICIES = Shipped("policy", folder=Path(__file__).parents[1] / "policies", own_name="policy.toml")
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Name = Annotated[
    str,
    StringConstraints(max_length=100),
    spelt("[a-z0-9][a-z0-9-]*", "small letters, digits and hyphens, a letter or digit first"),
]
Gene = Annotated[
    str, StringConstraints(max_length=30), spelt("[A-Z][A-Z0-9-]*", "a gene's symbol in capitals, as LDLR")
]


_WHOLE_ACTION = "give every flag an action with text, source, owner and deadline_days"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Action(_Part):
    """An action that a flag asks for: the text, the source of the advice, who does it, and within how many days."""

    text: Words
    source: Words
    owner: Words
    deadline_days: int = Field(ge=0, le=3650)


class ShortList(_Part):
    """The top of the list by risk, as long as the team's capacity, on each panel or over the whole programme."""

    headline: Words
    capacity: int = Field(ge=0, le=1_000_000)
    per: Literal["panel", "programme"] = "panel"
    minimum_risk: float = Field(default=0.0, ge=0, le=1)
    horizon_days: float | None = Field(default=None, gt=0)  # absent: the study's last horizon
    rest_days: int = Field(default=180, ge=0)  # after a dismissal or a finished action, not flagged again for so long
    action: Action


class FindingRule(_Part):
    """A hard flag: whoever carries an actionable variant in these genes is flagged, whatever the capacity."""

    name: Name
    headline: Words
    genes: tuple[Gene, ...] = Field(min_length=1)
    action: Action


class Policy(_Part):
    """A validated policy. `hash` depends on its content, not on the layout of the file."""

    name: Name
    version: Words
    title: Words
    study: Name
    shortlist: ShortList
    findings: tuple[FindingRule, ...] = ()

    @model_validator(mode="after")
    def _one_rule_for_a_gene(self) -> Policy:
        genes = Counter(gene for rule in self.findings for gene in rule.genes)
        twice = sorted(gene for gene, times in genes.items() if times > 1)
        if twice:
            raise unmet("findings", "each gene in one rule", found=f"{', '.join(twice)} more often")
        never = sorted(genes.keys() - listed_genes())
        if never:
            raise unmet(
                "findings",
                f"genes of {SOURCE}",
                found=f"{', '.join(never)}, for which nobody could ever be flagged",
                way_out=meant(never[0], listed_genes()),
            )
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the policy's content."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def genes(self) -> tuple[str, ...]:
        """Every gene with a rule for findings: the genes whose status this policy is about."""
        return tuple(gene for rule in self.findings for gene in rule.genes)

    def row(self) -> PolicyRow:
        """The policy as the store keeps it."""
        return PolicyRow(self.hash, self.name, self.version, self.title, self.model_dump(mode="json"))

    def rule_for(self, gene: str) -> FindingRule | None:
        """The rule that raises hard flags for a gene; None where there is none."""
        return next((rule for rule in self.findings if gene in rule.genes), None)


def policy_path(target: str | Path) -> Path:
    """The policy file that a user means: a path that exists, else the shipped policy of that name.

    A folder means the policy.toml inside it. Raises PresageError, which lists the names that ship, for anything else.

    >>> policy_path("chd-10y").name
    'chd-10y.toml'
    """
    return POLICIES.find(target)


def read_policy(path: Path) -> Policy:
    """Read a policy file. Raises PresageError that names the first thing to mend."""
    written = read_toml(path, expected="a policy file", way_out="choose from those that ship: presage studies")
    try:
        with naming_keys(path, Policy):
            return Policy.model_validate_json(json.dumps(written, default=str))
    except PresageError as error:
        if "action" not in error.where or error.way_out is not None:
            raise
        raise error.at(error.where, way_out=_WHOLE_ACTION) from None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A scored person who may be listed: the probability at the policy's horizon, and the panel that would
    do the work.
    """

    subject_id: int
    panel: str
    risk: float


def shortlist(rule: ShortList, candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The candidates at highest risk, at most `capacity` on each panel (or in all), highest first.

    Order of the candidates does not matter; equal risks go by subject_id, so that two runs list the same people.
    """
    listed: list[Candidate] = []
    taken: Counter[str] = Counter()
    for candidate in sorted(candidates, key=lambda person: (-person.risk, person.subject_id)):
        team = candidate.panel if rule.per == "panel" else ""
        if candidate.risk >= rule.minimum_risk and taken[team] < rule.capacity:
            taken[team] += 1
            listed.append(candidate)
    return tuple(listed)
