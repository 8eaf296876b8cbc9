"""What the record keeps of an OMOP source for updates: small tables whole, as text, and the concepts in use."""

from __future__ import annotations

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.sources.judging import WHOLE
from features.sources.omop import columns as c
from features.sources.omop.files import Cdm
from features.sources.updates import Update

# Table -> the columns of its key, the first that it has counts.
SMALL: Mapping[str, tuple[str, ...]] = {
    "person": ("person_id",),
    "death": ("person_id",),
    "observation_period": ("observation_period_id", "person_id"),
    "care_site": ("care_site_id",),
    "provider": ("provider_id",),
}
VOCABULARY = ("concept", "concept_ancestor", "concept_relationship")
_CONCEPT = ("concept_id", "vocabulary_id", "concept_code", "concept_name")


class WithKept:
    """The tables of an update, the small ones merged with what the record keeps of them."""

    def __init__(self, cdm: Cdm, update: Update) -> None:
        self.cdm, self.update = cdm, update
        self._merged: dict[str, ir.Table] = {}
        for name in SMALL:
            known = update.kept(name)
            if known is not None or cdm.has(name):
                self._merged[name] = self._with(name, known)
        known = update.kept("concept")
        if known is not None:
            self._merged["concept"] = self._concepts(known)

    @property
    def con(self) -> Backend:
        """The scratch database."""
        return self.cdm.con

    @property
    def names(self) -> frozenset[str]:
        """Tables that the whole source has, but for those with facts: these are the update's own."""
        return self.cdm.names | frozenset(self._merged) | frozenset(self.update.said["tables"])

    @property
    def broken(self) -> dict[str, int]:
        """Lines of the update's files that are no rows."""
        return self.cdm.broken

    def has(self, name: str) -> bool:
        """Whether there is this table."""
        return self.cdm.has(name) or name in self._merged

    def table(self, name: str) -> ir.Table:
        """One table, merged where it is a small one."""
        return self._merged[name] if name in self._merged else self.cdm.table(name)

    def release(self, name: str) -> None:
        """Forget a staged table."""
        self.cdm.release(name)

    def check_concepts(self, facts: ir.Table) -> None:
        """Raise PresageError where facts use concepts that a table of concepts would tell, and there is none."""
        lacking = [name for name in VOCABULARY if name in self.update.said["tables"] and not self.cdm.has(name)]
        if not lacking:
            return
        known = self._merged.get("concept")
        used = facts.select(concept_id=facts.concept_id).union(facts.select(concept_id=facts.standard_id))
        used = used.filter(used.concept_id.notnull()).distinct()
        if known is not None:
            ids = known.select(concept_id=c.integer(known, "concept_id"))
            used = used.anti_join(ids, "concept_id")
        n = int(used.count().to_pyarrow().as_py())
        if n:
            raise PresageError(
                f"{lacking[0]}.csv",
                "the vocabulary's tables beside rows with concepts that the record has not had",
                found=f"none of that name, and {n:,} such concepts",
                way_out=f"give them with the update: {', '.join(lacking)}",
            )

    def _with(self, name: str, known: ir.Table | None) -> ir.Table:
        """Rows of the record's that no row of the update has the key of, and the update's rows."""
        new = as_text(self.cdm.table(name)) if self.cdm.has(name) else None
        if new is not None:
            new = self.con.create_table(f"update_{name}", new)
        if new is None:
            return self.con.create_table(f"merged_{name}", self.update.must_keep(name))
        if known is None:
            return self.con.create_table(f"merged_{name}", new)
        key = next((column for column in SMALL[name] if column in new.columns and column in known.columns), None)
        if key is not None:
            keys = new.select(its_key=c.key(new, key)).filter(lambda t: t.its_key.notnull()).distinct()
            known = known.mutate(its_key=c.key(known, key)).anti_join(keys, "its_key").drop("its_key")
        columns = list(dict.fromkeys([*known.columns, *new.columns]))
        parts = [
            one.select(**{column: one[column] if column in one.columns else ibis.null("string") for column in columns})
            for one in (known, new)
        ]
        return self.con.create_table(f"merged_{name}", parts[0].union(parts[1]))

    def _concepts(self, known: ir.Table) -> ir.Table:
        """The update's concepts, and those in use that it lacks. Raises PresageError where one has another meaning."""
        known = self.con.create_table("kept_concept", known)
        if not self.cdm.has("concept"):
            return known
        raw = as_text(self.cdm.table("concept"))
        new = raw.select(**{name: c.text(raw, name) for name in _CONCEPT})
        new = self.con.create_table("update_concept", new)
        both = known.join(new, "concept_id", rname="new_{name}")
        other = (both.vocabulary_id != both.new_vocabulary_id) | (both.concept_code != both.new_concept_code)
        other = other | (both.concept_name != both.new_concept_name)
        n = int(both.filter(other.fill_null(False)).count().to_pyarrow().as_py())
        if n:
            raise PresageError(
                f"{self.update.space.origin}, concept",
                "concepts that mean what they meant when the record was made",
                found=f"{n:,} of those in use with another code or name",
                way_out=WHOLE,
            )
        return self.con.create_table("merged_concept", new.union(known.anti_join(new, "concept_id").select(_CONCEPT)))


def as_text(raw: ir.Table) -> ir.Table:
    """Every column as text, as CSV has it."""
    return raw.select(**{name: raw[name].cast("string") for name in raw.columns})


def kept_tables(cdm: Cdm | WithKept, known: ir.Table, *, used: ir.Table) -> dict[str, ir.Table]:
    """The small tables of a source, and the concepts that its events, persons and deaths use."""
    tables = {name: as_text(cdm.table(name)) for name in SMALL if cdm.has(name)}
    ids = [used.select(concept_id=used[name]) for name in ("concept_id", "standard_id")]
    for name in ("person", "death"):
        if cdm.has(name):
            raw = cdm.table(name)
            ids += [raw.select(concept_id=c.concept(raw, one)) for one in raw.columns if one.endswith("_concept_id")]
    whole = ids[0]
    for one in ids[1:]:
        whole = whole.union(one)
    if cdm.has("concept"):
        rows = known.semi_join(whole.distinct(), "concept_id")
        tables["concept"] = rows.select(
            concept_id=rows.concept_id.cast("string"),
            vocabulary_id=rows.vocabulary,
            concept_code=rows.bare_code,
            concept_name=rows.name,
        )
    return tables
