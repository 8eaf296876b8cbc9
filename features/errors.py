"""The one error a user can mend: where it is, what was expected, what was found instead, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PresageError(Exception):
    """Bad input that its owner can mend: `WHERE: expected EXPECTED, found FOUND (WAY OUT)`.

    There is this one form, so that what was wanted is never taken for what was wrong. The command line prints it in
    one line and exits with code 2; the service answers with a 4xx. What no user can mend is a `ValueError`.

    - `where` names the file and in it the section, key, line, row or column, or else the option or variable.
    - `expected` is the rule that was broken, as the words that follow "expected": a thing or a state, never a
      complaint. It may list the allowed names.
    - `found` is what stood there instead, as the words that follow "found"; absent where it would say nothing new.
    - `way_out` is what to do, and begins with a verb.

    None of them holds a value read from a person: names of files, columns, keys and options and counts are fine, what
    a cell holds is not. Each is lower-case, without a full stop.

    >>> raise PresageError("aml.toml, [validation] folds", "at most 40 folds", found="90", way_out="use fewer folds")
    Traceback (most recent call last):
    features.errors.PresageError: aml.toml, [validation] folds: expected at most 40 folds, found 90 (use fewer folds)
    >>> str(PresageError("--out", "a name that ends in .parquet"))
    '--out: expected a name that ends in .parquet'
    >>> str(PresageError("record", "the folder of a record", found="no data/*.parquet in it"))
    'record: expected the folder of a record, found no data/*.parquet in it'
    """

    def __init__(self, where: str, expected: str, *, found: str | None = None, way_out: str | None = None) -> None:
        self.where = where
        self.expected = expected
        self.found = found
        self.way_out = way_out
        super().__init__(f"{self.fault} ({way_out})" if way_out else self.fault)

    @property
    def rule(self) -> str:
        """What follows the word "expected": the rule, and what was found instead.

        >>> PresageError("--people", "200 people or more", found="20").rule
        '200 people or more, found 20'
        """
        return self.expected if self.found is None else f"{self.expected}, found {self.found}"

    @property
    def fault(self) -> str:
        """The error without its way out, for a report or a card whose reader cannot take it.

        >>> PresageError("[outcome]", "10 people with the event", found="3", way_out="widen the population").fault
        '[outcome]: expected 10 people with the event, found 3'
        """
        return f"{self.where}: expected {self.rule}"

    def at(self, where: str, *, way_out: str | None = None) -> PresageError:
        """The same error of another place: a caller may know the file of which a key is wrong, or a better way out.

        >>> error = PresageError("[validation] folds", "2 folds or more", found="1")
        >>> str(error.at(f"aml.toml, {error.where}"))
        'aml.toml, [validation] folds: expected 2 folds or more, found 1'
        """
        return PresageError(where, self.expected, found=self.found, way_out=way_out or self.way_out)


def meant(name: str, known: Iterable[str]) -> str | None:
    """The way out for a misspelt name: the nearest known one. None where nothing is near.

    >>> meant("candidate", ["candidates", "min_matched_weight"])
    "write 'candidates' if that is meant"
    >>> meant("colour", ["candidates", "min_matched_weight"])
    """
    near = get_close_matches(name, list(known), n=1)
    return f"write '{near[0]}' if that is meant" if near else None
