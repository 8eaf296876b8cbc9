"""Every error that a user can mend has one form: WHERE: expected WHAT, found WHAT (WAY OUT)."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("features", "training", "serving")
GAP = "\N{WHITE SQUARE}"  # stands for what is only known when the error is raised

# What makes such an error, and which of its positional arguments is which text.
MAKERS = {
    "PresageError": ("where", "expected"),
    "unmet": ("key", "expected"),
    "spelt": ("pattern", "expected"),
    "read_toml": (),
}
TEXTS = ("expected", "found", "way_out")
# These hand on a text that was checked where it was written.
HANDS_ON = {"features/errors.py", "features/toml_files.py"}

COMPLAINTS = {
    "absent", "another", "broken", "cannot", "cut", "damaged", "different", "it", "lacks", "missing", "neither",
    "no", "nobody", "none", "nor", "not", "nothing", "only", "refused", "there", "unknown", "wrong",
}  # fmt: skip
WAYS = {
    "add", "ask", "build", "call", "check", "choose", "convert", "copy", "download", "exclude", "export", "fetch",
    "first", "fit", "flag", "free", "give", "install", "keep", "label", "leave", "lift", "link", "make", "mend",
    "merge", "move", "name", "promote", "rename", "run", "save", "score", "send", "set", "start", "take", "train",
    "unpack", "use", "widen", "write",
}  # fmt: skip
# Places that are no file, option, variable, argument or section of a study.
PLACES = {
    "capacities", "families", "features/polygenic/columns/loops.c", "horizons_days", "memory", "names", "password",
    "risk", "subject_id", "the ancestry panel", "the file system", "the record", "the store", "thresholds",
}  # fmt: skip
# Arguments of the Python API, which are what its caller gives.
ARGUMENTS = {
    argument.arg
    for node in ast.walk(ast.parse((ROOT / "presage.py").read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    for argument in (*node.args.args, *node.args.kwonlyargs)
} | {"horizon_days"}


@dataclass(frozen=True, slots=True)
class Text:
    """One text of one call, with gaps for what is only known later. `said` is None where nothing of it is known."""

    place: str
    part: str
    said: str | None


def _values(node: ast.expr, names: dict[str, list[ast.expr]]) -> list[str | None]:
    """Every text that the expression may be."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.Constant(value=None):
            return []
        case ast.JoinedStr(values=parts):
            filled = [part.value if isinstance(part, ast.Constant) else GAP for part in parts]
            return ["".join(str(part) for part in filled)]
        case ast.IfExp(body=body, orelse=orelse):
            return [*_values(body, names), *_values(orelse, names)]
        case ast.BoolOp(values=parts):
            return [said for part in parts for said in _values(part, names)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            both = itertools.product(_values(left, names), _values(right, names))
            return [(one or GAP) + (other or GAP) for one, other in both]
        case ast.Name(id=name) if name in names:
            return [said for value in names[name] for said in _values(value, names)]
        case ast.Subscript(value=ast.Name(id=name) as table) if name.isupper():  # one of the texts of a dictionary
            return _values(table, names)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name) as table, attr="get"), args=[_, default]) if (
            name.isupper()
        ):
            return [*_values(table, names), *_values(default, names)]
        case ast.Dict(values=parts):
            return [said for part in parts for said in _values(part, names)]
        case _:
            return [None]


def _assigned(tree: ast.AST) -> dict[str, list[ast.expr]]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
    return found


def _texts(path: Path) -> Iterator[Text]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = _assigned(tree)
    file = path.relative_to(ROOT).as_posix()
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in MAKERS:
            continue
        parts = dict(zip(MAKERS[call.func.id], call.args, strict=False))
        parts |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg is not None}
        for part, node in parts.items():
            for said in _values(node, names):
                yield Text(f"{file}:{call.lineno}", part, said)


def _files() -> list[Path]:
    return [ROOT / "presage.py", *sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]


EVERY = [text for path in _files() for text in _texts(path)]


def _of(*parts: str) -> list[Text]:
    return [text for text in EVERY if text.part in parts]


def _first_word(said: str) -> str:
    return said.split()[0].rstrip(",:;") if said.split() else ""


def _complaint(text: Text) -> str | None:
    """What is wrong with a text; None for one of the form."""
    said = text.said or ""
    if not said.strip() or said != said.strip():
        return "is empty, or has blanks around it"
    if re.search(r"[.;,:!]$", said) and not said.endswith("..."):
        return "ends with a mark"
    first = _first_word(said)
    if first[:1].isupper() and first[1:].islower() and first.rstrip("'s") not in {"Presage"}:
        return "starts like a sentence"
    if text.part == "expected":
        if first in COMPLAINTS:
            return f"complains ({first}): say in found what is wrong"
        if re.search(r"\b(found|got|expected|there is no|this is)\b|; ", said):
            return "mixes what was expected with what was found"
    if text.part == "found" and first in {"found", "expected", "but", "got"}:
        return f"repeats {first}"
    if text.part == "way_out" and first not in WAYS:
        return f"begins with {first}, which is no verb that tells what to do"
    return None


def test_the_rooms_have_errors_to_look_at() -> None:
    assert len(_of("expected")) > 100


def test_every_text_of_an_error_has_the_form() -> None:
    wrong = [f"{text.place}: {text.part} {text.said!r} {_complaint(text)}" for text in _of(*TEXTS)
             if text.said is not None and _complaint(text)]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_what_was_expected_is_written_where_the_error_is_raised() -> None:
    """A text that comes from elsewhere is seen by no reader of the line, and by no test of this file."""
    unseen = [text.place for text in _of("expected") if text.said is None and text.place.split(":")[0] not in HANDS_ON]
    assert not unseen, "\n".join(unseen)


def test_every_place_is_a_file_an_option_a_variable_or_a_key() -> None:
    form = re.compile(rf"--[a-z]|\[[a-z.]+\]|[A-Z][A-Z_]+$|.*{GAP}")
    wrong = [
        f"{text.place}: {text.said!r}"
        for text in _of("where")
        if text.said is not None and not (text.said in PLACES | ARGUMENTS or form.match(text.said))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("expected", "no such file"),
        ("expected", "The name of a file"),
        ("expected", "a bundle of format 3, this is 2"),
        ("expected", "at least two sites, found 1"),
        ("expected", "a file."),
        ("expected", ""),
        ("found", "found nothing"),
        ("way_out", "presage catalogue"),
        ("way_out", "Give a file"),
    ],
)
def test_a_text_without_the_form_is_noticed(part: str, said: str) -> None:
    assert _complaint(Text("here", part, said)) is not None


def test_a_text_is_read_out_of_every_shape_in_which_it_is_written() -> None:
    source = "a = 'x' if y else f'{n} z'\nPresageError(str(p), a, found='b' + c, way_out=meant(d) or 'give e')"
    tree = ast.parse(source)
    call = tree.body[1]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    parts: Sequence[ast.expr] = [*call.value.args, *(keyword.value for keyword in call.value.keywords)]
    found = [_values(part, _assigned(tree)) for part in parts]
    assert found == [[None], ["x", f"{GAP} z"], [f"b{GAP}"], [None, "give e"]]
