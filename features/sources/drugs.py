"""Drugs whose number nobody here knows, read by their names."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache

from features.codes import ingredients, shipped_codes

BY_NAME = "drug of unknown number, read by its name"


def by_name(codes: Iterable[str], names: Iterable[str | None]) -> tuple[str, ...]:
    """`RxNormByName//<ingredient>` for each ingredient that a drug's names say, where no code of it is one that the
    shipped lists know.

    >>> by_name(["Local//77"], ["Simvastatin 10 MG Oral Tablet"])
    ('RxNormByName//36567',)
    >>> by_name(["RxNorm//36567"], ["Simvastatin 10 MG Oral Tablet"])
    ()
    """
    known = _known()
    if any(code in known or code.startswith("ATC//") for code in codes):
        return ()
    return tuple(sorted({f"RxNormByName//{number}" for name in names if name for number in _ingredients(name)}))


@lru_cache(maxsize=65536)
def _ingredients(name: str) -> tuple[str, ...]:
    return ingredients(name)


@cache
def _known() -> frozenset[str]:
    return frozenset(f"RxNorm//{code.code}" for code in shipped_codes() if code.vocabulary == "RxNorm")
