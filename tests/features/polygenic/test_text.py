"""Tables of text read by compiled loops: the same cells and numbers as Python's own split and float."""

from __future__ import annotations

import gzip
import math
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.polygenic.columns import text
from features.polygenic.columns.variants import Alleles, chromosome_code, position_keys

CELL = st.text(st.characters(blacklist_characters="\t\n\r", blacklist_categories=["Cs"]), max_size=20)
NUMBER = st.one_of(
    st.builds("{:{}}".format, st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["", ".6g", ".3f"])),
    st.builds("{:{}}".format, st.floats(-3, 3), st.sampled_from([".6g", ".12f", "+.4f", ".1e", ".14f", ".15f", ".0f"])),
    st.from_regex(r"[+-]?[0-9]{0,12}\.?[0-9]{0,18}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
PLAIN = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def one(cells: list[str]) -> text.Column:
    content = "".join(f"{cell}\tx\n" for cell in cells).encode()
    return text.columns(content, 2, wanted=[0])[0]


@given(rows=st.lists(st.lists(CELL, min_size=4, max_size=4), min_size=1), ends=st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=150, deadline=None)
def test_cells_are_those_of_split(rows, ends):
    content = "".join("\t".join(row) + ends for row in rows).encode()
    found = text.columns(content, 4, wanted=[1, 3])
    assert found[1].text().to_pylist() == [row[1] for row in rows]
    assert found[3].text().to_pylist() == [row[3] for row in rows]


@given(st.lists(NUMBER, min_size=1, max_size=30))
@example(["0.1", "-0.00850291", "9.99999999999999", "-0.0", "1e-400", "1e22", "1e23", "4503599627370497.5"])
@settings(max_examples=400, deadline=None)
def test_numbers_are_those_of_float(cells):
    cells = [cell for cell in cells if PLAIN.fullmatch(cell)] or ["0"]
    np.testing.assert_array_equal(one(cells).numbers(), [float(cell) for cell in cells])
    line = "1:1:A:C\tA\t" + "\t".join(cells) + "\n"
    told = text.ScoreLines(len(cells)).read((line * 3).encode())
    if told is not None:  # all plain
        np.testing.assert_array_equal(told[2], [[float(cell) for cell in cells]] * 3)
        assert np.signbit(told[2][1]).tolist() == [math.copysign(1, float(cell)) < 0 for cell in cells]


@given(st.text("0123456789.-+eExn \t", min_size=1, max_size=17), st.integers(0, 30))
@settings(max_examples=400, deadline=None)
def test_what_is_no_number_is_not_read_as_one(cell, place):
    cells = ["0.5"] * 30
    cells.insert(place, cell)
    line = ("1:1:A:C\tA\t" + "\t".join(cells) + "\n").encode()
    told = text.ScoreLines(31).read(line)
    if PLAIN.fullmatch(cell) is None:
        assert told is None


@given(st.lists(st.integers(-(10**17), 10**17), min_size=1))
def test_whole_numbers(numbers):
    assert one([str(number) for number in numbers]).wholes().tolist() == numbers


@pytest.mark.parametrize("cell", ["", "1.0", "x", "1 ", "9" * 20])
def test_a_cell_that_is_no_whole_number_is_named(cell):
    with pytest.raises(text.BadCellError) as told:
        one(["1", "2", cell, "x"]).wholes()
    assert told.value.number == 2


@given(st.lists(st.sampled_from(["chr1", "1", "22", "X", "chrM", "GL000191.1", ""]) | CELL, min_size=1, max_size=200))
def test_chromosomes(names):
    assert one(names).chromosomes().tolist() == [chromosome_code(name) for name in names]


@given(st.lists(st.sampled_from(["A", "c", "G", "t", "N", "", "ACGT", "<DEL>"]), min_size=1))
def test_alleles(names):
    alleles = Alleles()
    assert one(names).alleles(alleles).tolist() == [alleles.code(name) if name else -1 for name in names]


@given(st.lists(st.lists(st.text("ab1", max_size=4), min_size=3, max_size=3), min_size=1))
def test_parts(rows):
    found = one([":".join(row) for row in rows]).cut(":", 3)
    assert [part.text().to_pylist() for part in found] == [list(part) for part in zip(*rows, strict=True)]


@pytest.mark.parametrize("position", [-1, 0, 1 << 31, (1 << 32) + 7, 10**17])
def test_a_position_that_no_chromosome_has_is_none_rather_than_anothers(position):
    assert position_keys(np.array([1, 1]), np.array([7, position])).tolist() == [(1 << 32) + 7, -1]


@pytest.mark.parametrize("cell", ["a:b", "a:b:c:d", ""])
def test_a_cell_of_other_parts_is_named(cell):
    with pytest.raises(text.BadCellError) as told:
        one(["a:b:c", cell]).cut(":", 3)
    assert told.value.number == 1


@pytest.mark.parametrize("line", ["a", "a\tb\tc", "\t\t"])
def test_a_line_of_other_cells_is_named(line):
    with pytest.raises(text.BadLineError) as told:
        text.columns(f"a\tb\n\nc\td\n{line}\ne\tf\n".encode(), 2, wanted=[0])
    assert told.value.number == 2


LINES = [f"1\t{k}\tA\t{k / 7:.6f}\tC\n" for k in range(50)]


@pytest.mark.parametrize("change", ["nothing", "weights", "exponent", "allele", "shorter", "longer", "cell", "last"])
def test_lines_that_differ_in_one_column_give_that_column(change):
    weights = [f"{-k * 3 / 7:.4f}" for k in range(50)]
    if change == "exponent":
        weights[7] = "1.5e-07"
    lines = [f"1\t{k}\tA\t{weight}\tC\n" for k, weight in enumerate(weights)]
    if change == "nothing":
        lines, weights = LINES, [line.split("\t")[3] for line in LINES]
    changed = {
        "allele": [*lines[:30], lines[30].replace("C", "G"), *lines[31:]],
        "shorter": lines[:-1],
        "longer": [*lines, "1\t50\tA\t0.5\tC\n"],
        "cell": [*lines[:30], lines[30].replace("\tA\t", "\tA\tA\t"), *lines[31:]],
        "last": [*lines[:-1], lines[-1].rstrip()],
    }
    content = "#two lines\n#of header\n" + "".join(changed.get(change, lines))
    found = text.same_lines(content.encode(), 22, others="".join(LINES).encode(), others_start=0, column=3)
    if change in changed:
        assert found is None
    else:
        assert found is not None
        np.testing.assert_array_equal(found, np.array(weights, float))


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
@pytest.mark.parametrize("name", ["plain.txt", "packed.txt.gz"])
@pytest.mark.parametrize("skip", [0, 2])
def test_pieces_are_whole_lines_and_their_places(tmp_path, size, name, skip):
    content = b"".join(b"line %d\n" % (k**3) for k in range(40)) + b"the last"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    found = list(text.placed_pieces(path, skip, size=size))
    rest = content.split(b"\n", skip)[-1]
    assert b"".join(piece for piece, _ in found) == rest
    assert all(piece.endswith(b"\n") for piece, _ in found[:-1])
    assert all(content[start : start + len(piece)] == piece for piece, start in found)
