"""The index: for whom, and as of which moment, features are computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Index:
    """n rows of (subject, as-of moment). A feature of a row uses what was available strictly before its moment.

    subject_ids: (n,). as_of: (n,) microseconds, none missing. The same pair may stand twice.
    """

    subject_ids: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.datetime64]

    def __post_init__(self) -> None:
        if self.subject_ids.shape != self.as_of.shape or self.subject_ids.ndim != 1:
            raise ValueError("an index has one moment for each subject")
        if self.as_of.dtype != np.dtype("datetime64[us]"):
            raise ValueError("as_of is datetime64[us]")
        if bool(np.isnat(self.as_of).any()):
            raise ValueError("every row of an index has a moment")

    @classmethod
    def at(cls, subject_ids: npt.ArrayLike, as_of: npt.ArrayLike) -> Index:
        """Make an index of these people at these moments, or of all of them at one moment.

        Moments are anything that NumPy reads as a date or a time.

        >>> len(Index.at([7, 7, 9], "2024-12-31"))
        3
        """
        subjects = np.atleast_1d(np.asarray(subject_ids, dtype=np.int64))
        moments = np.asarray(as_of, dtype="datetime64[us]")
        return cls(subjects, np.ascontiguousarray(np.broadcast_to(moments, subjects.shape)))

    def __len__(self) -> int:
        return len(self.subject_ids)

    def take(self, rows: npt.NDArray[np.intp]) -> Index:
        """The index rows at these positions."""
        return Index(self.subject_ids[rows], self.as_of[rows])
