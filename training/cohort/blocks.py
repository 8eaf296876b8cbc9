"""Blocks of features: named in the study by name or glob, in the order in which what each adds is tested."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from features.errors import PresageError, meant
from training.cohort.rows import Block
from training.study import BASE, FeaturesSection


def named_blocks(
    section: FeaturesSection, usable: Sequence[str], *, where: str, marks: tuple[str, ...] = ()
) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """The section's blocks over usable features, and those that are in none of them.

    What is named is what is used: features of no block are left out, or join the block that `rest` names. A section
    without blocks uses all of them. marks: names that stand for genotypes rather than for a feature; where no genomic
    block is declared they make one.
    """
    blocks: list[Block] = []
    taken: set[str] = set()
    for name, patterns in section.blocks.items():
        listed = tuple(pattern for pattern in patterns if pattern not in marks)
        found = [feature for feature in matching(listed, usable, where=f"{where} {name}") if feature not in taken]
        taken |= set(found)
        blocks.append(Block(name, tuple(found), section.is_genomic(name)))
    others = tuple(name for name in usable if name not in taken)
    rest = section.rest if section.blocks else BASE
    if rest is not None:
        blocks, others = _with_rest(blocks, others, name=rest), ()
    if marks and not any(block.genomic for block in blocks):
        blocks.append(Block("genomic", (), genomic=True))
    if not any(block.features for block in blocks if not block.genomic):
        raise PresageError(
            where,
            "at least one feature that everybody has",
            found="none, as every one is in a genomic block or left out",
            way_out=f'name them as a block, or write rest = "{BASE}" to take those that no block names',
        )
    return tuple(blocks), others


def _with_rest(blocks: list[Block], others: tuple[str, ...], *, name: str) -> list[Block]:
    """The blocks with the other features in the one of this name, which comes first where the section has it not."""
    if name not in {block.name for block in blocks}:
        return [Block(name, others, genomic=False), *blocks]
    return [
        Block(block.name, block.features + others, block.genomic) if block.name == name else block for block in blocks
    ]


def unnamed(listed: Iterable[Sequence[str]], names: Sequence[str]) -> tuple[str, ...]:
    """Names that no pattern of these lists matches.

    >>> unnamed([["age"], ["gene_*"]], ["age", "sex", "gene_1"])
    ('sex',)
    """
    patterns = [pattern for patterns in listed for pattern in patterns]
    return tuple(
        name for name in names if not any(pattern == name or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
    )


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

    A pattern that is a name is that name alone, whatever `[`, `]`, `*` or `?` it holds. Raises PresageError for a
    pattern that matches none.

    >>> matching(["LDH [U/L]", "wbc*"], ["LDH [U/L]", "LDH U", "wbc", "wbc_max"], where="[features] only")
    ['LDH [U/L]', 'wbc', 'wbc_max']
    """
    found: list[str] = []
    known = set(names)
    for pattern in patterns:
        hits = [pattern] if pattern in known else [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not hits:
            raise PresageError(
                where,
                f"names of {of}, or patterns of them",
                found=f"'{pattern}', which is like none",
                way_out=meant(pattern, names),
            )
        found += [name for name in hits if name not in found]
    return found
