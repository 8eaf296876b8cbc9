"""Blocks of features: named in the study by name or glob, in the order in which what each adds is tested."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

from features.errors import PresageError, meant
from training.cohort.rows import Block
from training.study import FeaturesSection


def named_blocks(
    section: FeaturesSection, usable: Sequence[str], *, where: str, marks: tuple[str, ...] = ()
) -> tuple[Block, ...]:
    """The section's blocks over usable features; features of no block join the first one that everybody has.

    marks: names that stand for genotypes rather than for a feature; where no genomic block is declared they make one.
    """
    blocks: list[Block] = []
    taken: set[str] = set()
    for name, patterns in section.blocks.items():
        listed = tuple(pattern for pattern in patterns if pattern not in marks)
        found = [feature for feature in matching(listed, usable, where=f"{where} {name}") if feature not in taken]
        taken |= set(found)
        blocks.append(Block(name, tuple(found), section.is_genomic(name)))
    rest = tuple(name for name in usable if name not in taken)
    base = next((i for i, block in enumerate(blocks) if not block.genomic), None)
    if base is None:
        blocks.insert(0, Block("clinical", rest, genomic=False))
    else:
        blocks[base] = Block(blocks[base].name, blocks[base].features + rest, genomic=False)
    if marks and not any(block.genomic for block in blocks):
        blocks.append(Block("genomic", (), genomic=True))
    if not blocks[0 if base is None else base].features:
        raise PresageError(
            where,
            "at least one feature that everybody has",
            found="none, as every one is in a genomic block or excluded",
        )
    return tuple(blocks)


def allowed_names(section: FeaturesSection, names: Sequence[str], *, where: str) -> list[str]:
    """What `only` lets in and `exclude` leaves."""
    only = set(matching(section.only, names, where=f"{where} only")) if section.only else set(names)
    excluded = set(matching(section.exclude, names, where=f"{where} exclude"))
    return [name for name in names if name in only and name not in excluded]


def monotone_signs(
    section: FeaturesSection, numeric: Sequence[str], *, catalogue: Mapping[str, int], where: str
) -> dict[str, int]:
    """The catalogue's signs, and over them the study's; 0 frees a feature. Raises PresageError for a category."""
    signs = {name: sign for name, sign in catalogue.items() if name in numeric}
    for pattern, sign in section.monotone.items():
        signs |= dict.fromkeys(
            matching((pattern,), numeric, where=f"{where} monotone", of="features that are numbers"), sign
        )
    return signs


def matching(patterns: Sequence[str], names: Sequence[str], *, where: str, of: str = "features") -> list[str]:
    """Names that a pattern matches, in the patterns' order. `of`: what an error calls the names.

    Raises PresageError for a pattern that matches none.
    """
    found: list[str] = []
    for pattern in patterns:
        hits = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not hits:
            raise PresageError(
                where,
                f"names of {of}, or patterns of them",
                found=f"'{pattern}', which is like none",
                way_out=meant(pattern, names),
            )
        found += [name for name in hits if name not in found]
    return found
