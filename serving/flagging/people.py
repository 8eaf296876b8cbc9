"""A subject as the people who care for them know them: source id and panel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.record import identity, scan
from serving.store import UNASSIGNED, Person

CARE_SITE = "CARE_SITE"
_PREFERRED = ("omop", "fhir", "meds")  # the clinical record's number before a laboratory's or a biobank's


def panels_of(record_dir: Path, subject_ids: Iterable[int] | None = None) -> dict[int, str]:
    """The panel (care site) of each of these subjects, or of everybody who has one.

    Of several, the last by name, in every run.
    """
    wanted = pc.field("code") == CARE_SITE
    if subject_ids is not None:
        wanted &= pc.field("subject_id").isin(pa.array(list(subject_ids), pa.int64()))
    care_sites = scan(record_dir, wanted, columns=["subject_id", "text_value"])
    ordered = care_sites.sort_by([("subject_id", "ascending"), ("text_value", "ascending")])
    pairs = zip(ordered["subject_id"].to_pylist(), ordered["text_value"].to_pylist(), strict=True)
    return {subject_id: site for subject_id, site in pairs if site}


def persons_of(record_dir: Path, subject_ids: Sequence[int]) -> list[Person]:
    """These subjects with their source id and panel.

    A subject that the identity map does not know goes by its number.
    """
    panels = panels_of(record_dir, subject_ids)
    known = identity.read(record_dir)
    known = known.filter(pc.is_in(known["subject_id"], pa.array(list(subject_ids), pa.int64())))
    names: dict[int, tuple[str, str]] = {}
    for row in known.to_pylist():
        held = names.get(row["subject_id"])
        if held is None or _rank(row["source"]) < _rank(held[0]):
            names[row["subject_id"]] = (row["source"], row["source_id"])
    return [
        Person(subject_id, *names.get(subject_id, ("record", str(subject_id))), panels.get(subject_id, UNASSIGNED))
        for subject_id in subject_ids
    ]


def _rank(source: str) -> tuple[int, str]:
    return (_PREFERRED.index(source) if source in _PREFERRED else len(_PREFERRED), source)
