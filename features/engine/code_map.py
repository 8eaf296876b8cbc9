"""How recorded facts and units become a plan's sources: rows of `presage_codes`, by plain rules, cached by code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from features.codes import ANSWER, Conversion, Matcher, conversion, is_denied, unambiguous
from features.engine.expression import LARGEST
from features.engine.plan import Plan, Source
from features.record import codes_of

SCHEMA = pa.schema(
    [
        pa.field("code", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("source", pa.int32()),
        pa.field("factor", pa.float64()),  # null: the unit cannot be converted, or values are not read
        pa.field("offset", pa.float64()),
        pa.field("constant", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("otherwise", pa.float64()),
        pa.field("needs_value", pa.bool_()),
    ]
)
REMEMBERED = 200_000  # pairs; more of them is somebody sending nonsense
TEXTS = pa.schema([pa.field("source", pa.int32()), pa.field("text", pa.string()), pa.field("number", pa.float64())])
Row = dict[str, object]


class CodeMap:
    """Answers for a pair of a fact's key and unit which sources read it, and how. Remembers what it has answered."""

    def __init__(self, plan: Plan, ancestors: Mapping[str, Iterable[str]]) -> None:
        self._plan = plan
        self._readers: dict[str, list[tuple[int, str]]] = {}
        for number, source in enumerate(plan.sources):
            for pattern in source.codes:
                self._readers.setdefault(pattern, []).append((number, pattern))
        self._matcher = Matcher(self._readers, ancestors)
        self._answers: dict[tuple[str, str], list[Row]] = {}

    def table(self, pairs: Iterable[tuple[str, str]]) -> pa.Table:
        """Rows for these pairs of a fact's key and unit ('' where none was recorded), in their order, once each."""
        rows = [row for pair in dict.fromkeys(pairs) for row in self._rows(pair)]
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _rows(self, pair: tuple[str, str]) -> list[Row]:
        if pair not in self._answers:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            self._answers[pair] = self._answer(*pair)
        return self._answers[pair]

    def _answer(self, key: str, unit: str) -> list[Row]:
        readers: dict[int, list[tuple[str, str]]] = {}
        denied = is_denied(key)
        for code in codes_of(key):
            for pattern in self._matcher(code):
                for number, reader in self._readers[pattern]:
                    readers.setdefault(number, []).append((code, reader))
        return [
            _row(key, unit, number=number, source=self._plan.sources[number], matches=matches)
            for number, matches in sorted(readers.items())
            if not all(code.startswith(ANSWER) for code, _ in matches)  # an answer to a question that nobody reads
            if not (denied and self._plan.sources[number].means_presence)
        ]


def texts(plan: Plan) -> pa.Table:
    """Rows of `presage_texts`: for each source the recorded texts it understands, and the numbers that
    stand for them.
    """
    rows = [
        {"source": number, "text": text, "number": level}
        for number, source in enumerate(plan.sources)
        for text, level in source.levels
    ]
    return pa.Table.from_pylist(rows, schema=TEXTS)


def _row(key: str, unit: str, *, number: int, source: Source, matches: list[tuple[str, str]]) -> Row:
    """matches: pairs of a code of the fact and the pattern that it matches; the unit is judged by the first such code
    that can be converted.
    """
    codes = dict.fromkeys(code for code, _ in matches)
    converted = next((each for code in codes if (each := _conversion(code, unit, source=source))), None)
    constants = dict(source.values)
    low, high = source.valid or (-LARGEST, LARGEST)
    if not unit and source.value_unit is not None and source.other_units:
        code = next(iter(codes))
        low, high = unambiguous(code, source.value_unit, valid=(low, high), others=source.other_units)
    return {
        "code": key,
        "unit": unit,
        "source": number,
        "factor": converted.factor if converted else None,
        "offset": converted.offset if converted else None,
        "constant": next((constants[pattern] for _, pattern in matches if pattern in constants), None),
        "low": low,
        "high": high,
        "otherwise": source.default_value,
        "needs_value": source.needs_value,
    }


def _conversion(code: str, unit: str, *, source: Source) -> Conversion | None:
    """A value without a unit is taken to be in the feature's own; the range where it can be no other guards it."""
    if source.value_unit is None:
        return None
    if not unit or unit == source.value_unit:
        return Conversion(1.0)
    return conversion(code, unit, target=source.value_unit)
