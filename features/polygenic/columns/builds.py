"""Genome builds: which build a name or a header means, by names and contig lengths."""

from __future__ import annotations

import re
from collections.abc import Iterable

from features.errors import PresageError
from features.polygenic.columns.variants import chromosome_code

GRCH37, GRCH38 = "GRCh37", "GRCh38"

# Lengths of chromosomes 1 to 22 and X (Genome Reference Consortium, GCA_000001405.1 and GCA_000001405.15).
_LENGTHS = {
    GRCH37: (
        249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431, 135534747,
        135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248, 59128983, 63025520,
        48129895, 51304566, 155270560,
    ),
    GRCH38: (
        248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717, 133797422,
        135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616, 64444167,
        46709983, 50818468, 156040895,
    ),
}  # fmt: skip
_NAMES = (
    (GRCH37, r"grch_?37|hg_?19|hs37|\bb37\b|build ?37|g1k_v37"),
    (GRCH38, r"grch_?38|hg_?38|hs38|\bb38\b|build ?38"),
    ("NCBI36", r"ncbi_?3[56]|grch_?36|hg_?1[78]\b|\bb36\b|build ?36"),
    ("T2T-CHM13", r"t2t|chm13|\bhs1\b"),
)  # the last two are told apart only to be refused
_CONTIG = re.compile(r"##contig=<.*?ID=([^,>]+)")
_LENGTH = re.compile(r"length=(\d+)")


def canonical_build(name: str | None) -> str | None:
    """GRCh37 or GRCh38 for any of their names, or another build that scores are made on.

    None for NR and names of no build.

    >>> canonical_build("hg19"), canonical_build("GRCh38.p14")
    ('GRCh37', 'GRCh38')
    """
    for build, pattern in _NAMES:
        if name and re.search(pattern, name, re.IGNORECASE):
            return build
    return None


def required_build(name: str) -> str:
    """The build that a user named. Raises PresageError for a name that means none."""
    build = canonical_build(name)
    if build not in (GRCH37, GRCH38):
        raise PresageError("--build", "GRCh37 or GRCh38", way_out="lift other builds over first")
    return build


def other_build(of_score: str | None, of_genotypes: str | None) -> str | None:
    """The reason why a score does not fit genotypes of another build.

    None where it fits, or where a build is unknown.
    """
    if of_score is None or of_genotypes is None or of_score == of_genotypes:
        return None
    return f"the score is on {of_score}, the genotypes are on {of_genotypes}: take the {of_genotypes} file"


def build_of_header(lines: Iterable[str], *, where: str) -> str | None:
    """The build that `##reference`, `##contig` assembly and contig lengths of a header tell.

    Raises PresageError where they disagree.
    """
    builds = {build for line in lines for build in _builds_of_line(line)}
    if len(builds) > 1:
        raise PresageError(
            where,
            "a header that names one build",
            found=" and ".join(sorted(builds)),
            way_out="mend the header, or name the build with --build",
        )
    return builds.pop() if builds else None


def _builds_of_line(line: str) -> set[str]:
    if line.startswith("##contig="):
        named = canonical_build(" ".join(re.findall(r"(?:assembly|URL)=([^,>]+)", line)))
        contig, length = _CONTIG.match(line), _LENGTH.search(line)
        by_length = _build_of_length(contig.group(1), int(length.group(1))) if contig and length else None
        return {build for build in (named, by_length) if build}
    if line.startswith(("##reference=", "##assembly=")):
        named = canonical_build(line)
        return {named} if named else set()
    return set()


def _build_of_length(contig: str, length: int) -> str | None:
    code = chromosome_code(contig)
    if not 1 <= code <= 23:
        return None
    return next((build for build, lengths in _LENGTHS.items() if lengths[code - 1] == length), None)
