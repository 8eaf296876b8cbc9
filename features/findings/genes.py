"""Which gene and which condition a report means, from small tables of public facts.

genes.csv: HGNC ids (genenames.org) of the ACMG SF genes, and of others common on panels. conditions.csv: MONDO ids and
OMIM numbers of their conditions, from ClinGen's gene-disease list of the ACMG SF genes (search.clinicalgenome.org).
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

# RefSeq transcripts (MANE Select 1.4), to settle which gene is meant where a report's symbol and HGNC id disagree.
TRANSCRIPTS = {
    "NM_000059": "BRCA2",
    "NM_007294": "BRCA1",
    "NM_000527": "LDLR",
    "NM_000384": "APOB",
    "NM_174936": "PCSK9",
    "NM_000249": "MLH1",
    "NM_000251": "MSH2",
    "NM_000179": "MSH6",
    "NM_000535": "PMS2",
    "NM_000546": "TP53",
    "NM_000314": "PTEN",
    "NM_000038": "APC",
    "NM_024675": "PALB2",
}


@dataclass(frozen=True, slots=True)
class Gene:
    """An approved symbol and its HGNC id (`HGNC:6547`)."""

    symbol: str
    hgnc: str


class GeneUnclearError(ValueError):
    """The report's names for the gene are unknown or name two genes; the message is the reason, without values."""


def resolve(*, symbol: str | None, hgnc: str | None, variant: str | None = None) -> Gene:
    """The gene that a symbol, an HGNC id, or both mean.

    A well-formed HGNC id that the table lacks is taken as it stands. Where the two name different genes, the transcript
    or the `NM_000059.4(BRCA2)` of the variant decides. Raises GeneUnclearError.

    >>> resolve(symbol="BRCA2", hgnc=None).hgnc
    'HGNC:1101'
    """
    by_symbol = _by_symbol().get((symbol or "").strip().upper())
    by_id = _by_id().get((hgnc or "").strip().upper())
    if by_symbol and by_id and by_symbol != by_id:
        return _settle(by_symbol, by_id, variant=variant)
    if by_symbol and hgnc and not by_id:
        return _settle(by_symbol, None, variant=variant)
    if by_symbol or by_id:
        return by_symbol or by_id  # type: ignore[return-value]
    if hgnc and re.fullmatch(r"HGNC:[1-9]\d*", hgnc) and symbol:
        return Gene(symbol=symbol.strip(), hgnc=hgnc)
    named = _named_in(variant)
    if named and not symbol and not hgnc:
        return named
    raise GeneUnclearError("unknown gene" if symbol or hgnc else "no gene named")


def mondo(gene: Gene | None, *, system: str, code: str | None, text: str | None) -> str | None:
    """The MONDO id of a condition given as MONDO, as OMIM, or by a name known for that gene; None otherwise."""
    if code and re.fullmatch(r"MONDO:\d{7}", code):
        return code
    for row in _conditions():
        if gene is None or row["gene_symbol"] != gene.symbol:
            continue
        if code and "omim" in system.lower() and code.removeprefix("MIM:") == row["omim"]:
            return row["mondo_id"]
        if text and text.strip().lower() in (row["name"].lower(), _ACMG_NAMES.get((gene.symbol, row["mondo_id"]))):
            return row["mondo_id"]
    return None


# The names that ACMG SF v3.3 gives to conditions which MONDO names by gene.
_ACMG_NAMES = {
    ("LDLR", "MONDO:0007750"): "familial hypercholesterolemia",
    ("APOB", "MONDO:0007751"): "familial hypercholesterolemia",
    ("PCSK9", "MONDO:0011369"): "familial hypercholesterolemia",
    ("BRCA1", "MONDO:0700268"): "hereditary breast and ovarian cancer",
    ("BRCA2", "MONDO:0700269"): "hereditary breast and ovarian cancer",
}


def _settle(by_symbol: Gene, by_id: Gene | None, *, variant: str | None) -> Gene:
    named = _named_in(variant)
    if named is not None and named in (by_symbol, by_id):
        return named
    raise GeneUnclearError("gene symbol and HGNC id name two genes")


def _named_in(variant: str | None) -> Gene | None:
    if named := re.search(r"[NX]M_\d+(?:\.\d+)?\((\w[\w-]*)\)", variant or ""):
        return _by_symbol().get(named[1].upper())
    if named := re.search(r"NM_\d+", variant or ""):
        return _by_symbol().get(TRANSCRIPTS.get(named[0], ""))
    return None


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (resources.files("features.findings") / name).open(encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


@functools.cache
def _by_symbol() -> dict[str, Gene]:
    return {row["gene_symbol"]: Gene(row["gene_symbol"], row["hgnc_id"]) for row in _rows("genes.csv")}


@functools.cache
def _by_id() -> dict[str, Gene]:
    return {gene.hgnc: gene for gene in _by_symbol().values()}


@functools.cache
def _conditions() -> tuple[dict[str, str], ...]:
    return tuple(_rows("conditions.csv"))
