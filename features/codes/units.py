"""Units: UCUM expressions, and what one unit is in another, by dimension and, where the substance matters, by analyte.

`value_in_target = value * factor + offset`: the engine joins factor and offset to events by (code, unit). A pair that
cannot be converted is set aside, never guessed.

UCUM: https://ucum.org/ucum (version 2.1). Molar masses: sums of IUPAC's 2021 standard atomic weights, as PubChem prints
them; they agree with the conversion factors of the AMA Manual of Style, 11th ed., table 17.5-1 (a test).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from features.codes.unit_spelling import INDEXED, plain, spelt, synonym


@dataclass(frozen=True, slots=True)
class Conversion:
    """value in the target unit = value * factor + offset."""

    factor: float
    offset: float = 0.0

    def __call__(self, value: float) -> float:
        """The value in the target unit."""
        return value * self.factor + self.offset


@dataclass(frozen=True, slots=True)
class Unit:
    """A parsed unit: its size in base units, its dimension (powers of base units), and its zero for temperatures.

    per: annotations that change what is measured (`{1.73_m2}`: indexed to body surface); others say nothing.
    """

    size: float
    dimension: frozenset[tuple[str, int]]
    zero: float = 0.0
    per: frozenset[str] = frozenset()


_PREFIX = {
    "Y": 1e24, "Z": 1e21, "E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "h": 1e2, "da": 1e1,
    "d": 1e-1, "c": 1e-2, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "a": 1e-18,
}  # fmt: skip

# Atoms with prefixes (metric), then without: size in base units, dimension. Base: g, m, s, mol, K, cd not needed,
# and the arbitrary units that convert to nothing else ([IU], eq, ...).
_METRIC: dict[str, tuple[float, dict[str, int]]] = {
    "g": (1.0, {"g": 1}),
    "m": (1.0, {"m": 1}),
    "s": (1.0, {"s": 1}),
    "mol": (1.0, {"mol": 1}),
    "L": (1e-3, {"m": 3}),
    "l": (1e-3, {"m": 3}),
    "eq": (1.0, {"eq": 1}),
    "osm": (1.0, {"osm": 1}),
    "U": (1.0, {"U": 1}),
    "[IU]": (1.0, {"IU": 1}),
    "[iU]": (1.0, {"IU": 1}),
    "kat": (1.0, {"mol": 1, "s": -1}),
    "Pa": (1e3, {"g": 1, "m": -1, "s": -2}),
    "bar": (1e8, {"g": 1, "m": -1, "s": -2}),
    "m[Hg]": (133322.0e3, {"g": 1, "m": -1, "s": -2}),
    "m[H2O]": (9.80665e6, {"g": 1, "m": -1, "s": -2}),
    "J": (1e3, {"g": 1, "m": 2, "s": -2}),
    "cal": (4184.0, {"g": 1, "m": 2, "s": -2}),
    "Hz": (1.0, {"s": -1}),
}
_PLAIN: dict[str, tuple[float, dict[str, int]]] = {
    "%": (1e-2, {}),
    "[ppth]": (1e-3, {}),
    "[ppm]": (1e-6, {}),
    "[ppb]": (1e-9, {}),
    "min": (60.0, {"s": 1}),
    "h": (3600.0, {"s": 1}),
    "d": (86400.0, {"s": 1}),
    "wk": (604800.0, {"s": 1}),
    "mo": (2629800.0, {"s": 1}),
    "a": (31557600.0, {"s": 1}),
    "[lb_av]": (453.59237, {"g": 1}),
    "[oz_av]": (28.349523125, {"g": 1}),
    "[in_i]": (0.0254, {"m": 1}),
    "[ft_i]": (0.3048, {"m": 1}),
    "[pH]": (1.0, {"pH": 1}),
    "[arb'U]": (1.0, {"arb": 1}),
    "{score}": (1.0, {}),
    "Cel": (1.0, {"K": 1}),
    "K": (1.0, {"K": 1}),
    "[degF]": (5 / 9, {"K": 1}),
}
_ZERO = {"Cel": 273.15, "[degF]": 459.67 * 5 / 9}
_INDEXED = frozenset({INDEXED})
# Nobody measures in megagrams: a capital M or G before these is a small one.
_NEVER_LARGE, _LARGE = frozenset({"g", "mol", "L", "l", "m", "eq", "osm"}), frozenset("YZEPTGM")

# LOINC codes by substance, and the substance's molar mass in g/mol.
_CHOLESTEROL, _TRIGLYCERIDE, _GLUCOSE, _CREATININE = 386.65, 885.45, 180.156, 113.12
MOLAR_MASS: Mapping[str, float] = {
    **dict.fromkeys(
        ("2093-3", "2085-9", "2089-1", "13457-7", "18262-6", "43396-1", "14647-2", "14646-4", "22748-8", "39469-2",
         "18261-8", "9830-1"),
        _CHOLESTEROL,
    ),
    # Triolein stands for serum triglycerides.
    **dict.fromkeys(("2571-8", "14927-8", "12951-0", "3043-7"), _TRIGLYCERIDE),
    **dict.fromkeys(
        ("2345-7", "2339-0", "1558-6", "14749-6", "14771-0", "76629-5", "15074-8", "41653-7", "1518-0", "1521-4",
         "27353-2"),
        _GLUCOSE,
    ),
    # Also the creatinine below the line of an albumin-to-creatinine ratio.
    **dict.fromkeys(
        ("2160-0", "38483-4", "14682-9", "2161-8", "9318-7", "14959-1", "32294-1", "14958-3", "30000-4"), _CREATININE
    ),
    **dict.fromkeys(("3094-0", "6299-2"), 28.014),  # urea nitrogen: two atoms of nitrogen in a molecule of urea
    **dict.fromkeys(("22664-7", "3091-6"), 60.056),  # urea
    **dict.fromkeys(("3084-1", "14933-6"), 168.11),  # urate
    **dict.fromkeys(("1975-2", "14631-6", "1968-7", "14629-0"), 584.67),  # bilirubin
    **dict.fromkeys(("17861-6", "2000-8", "49765-1"), 40.078),  # calcium
    **dict.fromkeys(("2777-1", "14879-1"), 30.974),  # phosphate, as phosphorus
    **dict.fromkeys(("19123-9", "2601-3"), 24.305),  # magnesium
    **dict.fromkeys(("2498-4", "14798-3"), 55.845),  # iron
    **dict.fromkeys(("1989-3", "62292-8", "68438-1"), 400.65),  # 25-hydroxyvitamin D
    **dict.fromkeys(("2132-9", "14685-2"), 1355.4),  # cobalamin
    **dict.fromkeys(("2284-8", "14732-2"), 441.40),  # folate
    **dict.fromkeys(("3026-2", "14921-1", "3024-7", "14920-3"), 776.87),  # thyroxine
    **dict.fromkeys(("2143-6", "14675-3"), 362.46),  # cortisol
    **dict.fromkeys(("2986-8", "14913-8"), 288.43),  # testosterone
}  # fmt: skip

# LOINC codes whose component is `Glomerular filtration rate/1.73 sq M.predicted` (property ArVRat): what is coded so is
# indexed to body surface, also where the sender's unit says no more than mL/min.
PER_SURFACE = frozenset({"98979-8", "88293-6", "62238-1", "33914-3", "48642-3", "48643-1", "69405-9"})

# Haemoglobin A1c: NGSP (%) and IFCC (mmol/mol) by the master equation NGSP = 0.09148 * IFCC + 2.152.
# Hoelzel W et al., Clin Chem 2004;50:166-174; consensus of ADA, EASD, IFCC and IDF 2007/2010 (https://ngsp.org/ifcc.asp).
HBA1C = frozenset({"4548-4", "17856-6", "4549-2", "59261-8", "71875-9", "41995-2"})
_NGSP_SLOPE, _NGSP_INTERCEPT = 0.09148, 2.152

_FACTOR = re.compile(r"[./]|(?:\[[^\]]*\]|\{[^}]*\}|[^./\[{])+")
_ANNOTATION = re.compile(r"\{[^}]*\}")


@lru_cache(maxsize=4096)
def canonical(unit: str) -> str:
    """The UCUM way to write a unit, without annotations, however a record system wrote it; unknown ones as they are.

    >>> canonical("MG/DL"), canonical("mmol/mol{Hb}"), canonical("mL/min/1.73m2")
    ('mg/dL', 'mmol/mol', 'mL/min/{1.73_m2}')
    """
    if (named := synonym(unit)) is not None:
        return named
    text = plain(unit)
    return text if _parsed(text) is not None else spelt(unit) or text


@lru_cache(maxsize=4096)
def parse(unit: str) -> Unit | None:
    """A unit, after `canonical`; None where it is not one that is known here."""
    return _parsed(canonical(unit))


def _parsed(written: str) -> Unit | None:
    size, zero, dimension, per, sign = 1.0, 0.0, Counter[str](), set[str](), 1
    if not written:
        return None
    for token in _FACTOR.findall(written):
        if token in "./":
            sign = -1 if token == "/" else 1
            continue
        per.update(note for note in _ANNOTATION.findall(token) if note in _INDEXED)
        bare = _ANNOTATION.sub("", token)
        if not bare:
            continue
        component = _component(bare)
        if component is None:
            return None
        factor, powers, atom = component
        size *= factor**sign
        zero = _ZERO.get(atom, 0.0)
        for base, power in powers.items():
            dimension[base] += sign * power
    return Unit(size, frozenset((base, power) for base, power in dimension.items() if power), zero, frozenset(per))


def _component(text: str) -> tuple[float, dict[str, int], str] | None:
    """Size, dimension and atom of one factor such as `mmol`, `m2`, `10*3` or `1.73`."""
    if text.isdigit():
        return float(text), {}, ""
    ten = re.fullmatch(r"10[*^]([+-]?\d+)", text)
    if ten:
        return 10.0 ** int(ten[1]), {}, ""
    power_match = re.fullmatch(r"(.*?[^\d+-])([+-]?\d+)", text)
    atom, power = (power_match[1], int(power_match[2])) if power_match else (text, 1)
    size_and_dimension = _atom(atom)
    if size_and_dimension is None:
        return None
    size, dimension = size_and_dimension
    return size**power, {base: each * power for base, each in dimension.items()}, atom


def _atom(atom: str) -> tuple[float, dict[str, int]] | None:
    if atom in _PLAIN:
        return _PLAIN[atom]
    if atom in _METRIC:
        return _METRIC[atom]
    for prefix, factor in _PREFIX.items():
        if atom.startswith(prefix) and atom[len(prefix) :] in _METRIC:
            if prefix in _LARGE and atom[len(prefix) :] in _NEVER_LARGE:
                continue
            size, dimension = _METRIC[atom[len(prefix) :]]
            return factor * size, dimension
    return None


def conversion(code: str, unit: str | None, *, target: str) -> Conversion | None:
    """The factor and offset that turn a value of `code` in `unit` into a value in `target`; None where nothing does.

    A missing unit cannot be converted: which unit was meant is for the caller to assume and to count.

    >>> round(conversion("LOINC//2345-7", "mmol/L", target="mg/dL").factor, 2)  # glucose
    18.02
    """
    if unit is None:
        return None
    if canonical(unit) == canonical(target):
        return Conversion(1.0)
    bare = code.removeprefix("LOINC//")
    if bare in HBA1C:
        return _hba1c(canonical(unit), canonical(target))
    source, goal = parse(unit), parse(target)
    indexed = _INDEXED if bare in PER_SURFACE else frozenset[str]()
    if source is None or goal is None or source.per | indexed != goal.per | indexed:
        return None
    if source.dimension == goal.dimension:
        factor = source.size / goal.size
        return Conversion(factor, (source.zero - goal.zero) / goal.size if source.zero or goal.zero else 0.0)
    moles = _moles_between(source, goal)
    if moles is None or bare not in MOLAR_MASS:
        return None
    return Conversion(source.size / goal.size * MOLAR_MASS[bare] ** moles)


_MOLAR_RATIO = re.compile(r"(m|u|)mol/(m|)mol")
_IFCC = {"m/": 1.0, "u/": 1e-3, "/": 1e3, "u/m": 1.0, "m/m": 1e3, "/m": 1e6}  # in mmol/mol


def _hba1c(unit: str, target: str) -> Conversion | None:
    """Between NGSP's % and a ratio of moles, by the master equation. A bare ratio may be on either scale: refused."""
    source, goal = _ifcc_size(unit), _ifcc_size(target)
    if source is not None and goal is not None:
        return Conversion(source / goal)
    if source is not None and target == "%":
        return Conversion(_NGSP_SLOPE * source, _NGSP_INTERCEPT)
    if unit == "%" and goal is not None:
        return Conversion(1 / _NGSP_SLOPE / goal, -_NGSP_INTERCEPT / _NGSP_SLOPE / goal)
    return None


def _ifcc_size(unit: str) -> float | None:
    """How many mmol/mol a ratio of moles is; None for what is no such ratio."""
    found = _MOLAR_RATIO.fullmatch(unit)
    return None if found is None else _IFCC[f"{found[1]}/{found[2]}"]


def _moles_between(source: Unit, goal: Unit) -> int | None:
    """The power of the molar mass between two dimensions that differ only in g for mol; None where they differ more."""
    left, right = dict(source.dimension), dict(goal.dimension)
    differ = {base: left.get(base, 0) - right.get(base, 0) for base in {*left, *right}}
    moles = differ.pop("mol", 0)
    grams = differ.pop("g", 0)
    return moles if moles and grams == -moles and not any(differ.values()) else None


def unambiguous(
    code: str, target: str, *, valid: tuple[float, float], others: Iterable[tuple[str, float, float]]
) -> tuple[float, float]:
    """The part of the plausible range in which a value without a unit can only be in the target unit; ends included.

    others: units in use for the same quantity, each with the range in which values in it are plausible. A value that
    is plausible in one of them, too, may be in either: 5.4 of LDL cholesterol without a unit is no 5.4 mg/dL.
    The answer is empty (its low end above its high) where every plausible value may be in another unit.

    >>> low, high = unambiguous("LOINC//13457-7", "mg/dL", valid=(5, 800), others=[("mmol/L", 0.1, 21)])
    >>> round(low, 1), high
    (20.7, 800)
    """
    low, high = valid
    for unit, least, most in others:
        other = conversion(code, unit, target=target)
        if other is None:
            continue
        shared_low = max(least, (valid[0] - other.offset) / other.factor)
        shared_high = min(most, (valid[1] - other.offset) / other.factor)
        if shared_low > high or shared_high < low:
            continue
        if shared_low <= low:
            low = math.nextafter(shared_high, math.inf)
        else:
            high = math.nextafter(shared_low, -math.inf)
    return low, high
