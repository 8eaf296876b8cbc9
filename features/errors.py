"""The one error a user can mend: where it is, what was expected, and the way out."""

from __future__ import annotations


class PresageError(Exception):
    """Bad input that its owner can mend. The door prints it in one line and exits with code 2 (HTTP: a 4xx).

    `where` names the file, line, column or option; `expected` the rule that was broken; `way_out` what to do.
    None of them may hold a value read from a person.
    """

    def __init__(self, where: str, expected: str, *, way_out: str | None = None) -> None:
        self.where = where
        self.expected = expected
        self.way_out = way_out
        super().__init__(f"{where}: {expected}" + (f" ({way_out})" if way_out else ""))
