"""The resources of a FHIR source one by one: a bulk export (NDJSON) or bundles, plain, compressed or in a zip."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from features.errors import PresageError
from features.progress import Advance
from features.sources.broken_files import DAMAGED, check_utf_8
from features.sources.fhir.contained import contained
from features.sources.fhir.files import WAY_OUT, files_of, opened
from features.sources.fhir.references import NOWHERE, Place, literal, place_of, server_of, urls_of

Resource = Mapping[str, Any]

_LEADING_TYPE = re.compile(rb'^\s*\{\s*"resourceType"\s*:\s*"(\w+)"')
_HOLDERS = frozenset({"Bundle", "Parameters"})
_EXPORT = re.compile(r"^(?P<base>[a-z]+://.*?)/(?:Group/[^/]+/|Patient/)?\$export", re.IGNORECASE)
BROKEN = "broken JSON"
NO_TYPE = "not a FHIR resource"
BREAKS_OFF = b"(the compressed file breaks off here)"

_BOM = b"\xef\xbb\xbf"
# A bundle in a bundle in a bundle: as deep as anybody would put them.
_DEPTH = 20


@dataclass(frozen=True, slots=True)
class Wanted:
    """The types of resources that are read, and those that are also read where another resource contains them."""

    kinds: frozenset[str]
    inside: frozenset[str]


class Found(NamedTuple):
    """One resource, or one piece of a file that is not a resource.

    kind: its resourceType; of a broken piece, the kind that its file is named after. content: None where no resource of
    this type is read, or `wrong` says why the piece is not a resource. place: its server, and the names by which other
    resources of its bundle mean it. full_url: what its bundle calls it. contained: whether the last resource before it
    that is not contained holds it. file: the name of its file, of a piece that is broken. deleted: whether this says
    that the resource is deleted; its content is then no more than its id, and when that was, if it is said.
    """

    kind: str
    text: bytes
    content: Resource | None
    wrong: str | None = None
    place: Place = NOWHERE
    full_url: str | None = None
    contained: bool = False
    file: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a bulk export: when the export was made, how many resources of each type it delivered, and the
    address of the server it is of.
    """

    transaction_time: str | None
    resources: Mapping[str, int]
    server: str | None = None

    def later(self, moment: str | None) -> Log:
        """With the later of two moments of export, by their days."""
        moments = [one for one in (self.transaction_time, moment) if one]
        return Log(max(moments, default=None), self.resources, self.server)


def size_of(source: Path) -> int:
    """The number of bytes to read, as they lie on disk."""
    return sum(file.size for file in files_of(source) if file.read)


def resources(source: Path, wanted: Wanted, *, advance: Advance) -> Iterator[Found]:
    """Yield every resource in the order of the files' names, each followed by those it contains.

    Resources of types that are not wanted come without content. Raises PresageError where the source holds no FHIR
    file, or one is packed otherwise than its name says.
    """
    any_file = False
    for file in files_of(source):
        if not file.read or _is_log(file.name):
            continue
        any_file = True
        called = file.name or source.name
        with opened(source, file) as lines:
            read = _of_lines if file.lines else _of_json
            yield from read(called, lines, wanted=wanted)
        advance(file.size)
    if not any_file:
        raise PresageError(str(source), "at least one FHIR file", found="none", way_out=WAY_OUT)


def read_log(source: Path) -> Log:
    """Read the export's log.ndjson, if there is one (https://github.com/smart-on-fhir/bulk-data-client, 'Logs')."""
    moment, server, counts = None, None, dict[str, int]()
    for detail in _log_details(source):
        moment = detail.get("transactionTime") or moment
        if isinstance(url := detail.get("exportUrl"), str) and (found := _EXPORT.match(url)):
            server = found["base"]
        kind, n = detail.get("resourceType"), detail.get("resourceCount")
        if isinstance(kind, str) and isinstance(n, int):
            counts[kind] = counts.get(kind, 0) + n
    return Log(moment, counts, server)


def _log_details(source: Path) -> Iterator[Resource]:
    for file in files_of(source):
        if not (file.read and _is_log(file.name)):
            continue
        with opened(source, file) as lines:
            for line in _whole_lines(file.name, lines):
                try:
                    entry = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                detail = entry.get("eventDetail") if isinstance(entry, dict) else None
                if isinstance(detail, dict):
                    yield detail


def _is_log(name: str) -> bool:
    return Path(name).name.lower().split(".")[0] == "log"


def _of_lines(name: str, lines: IO[bytes], *, wanted: Wanted) -> Iterator[Found]:
    is_wanted = True  # what follows a resource that is read is most often another
    for line in _whole_lines(name, lines):
        if is_wanted and (plain := _plain(line, wanted)):
            yield plain
            continue
        leading = _LEADING_TYPE.match(line)
        kind = leading[1].decode() if leading else ""
        is_wanted = kind in wanted.kinds
        if kind and not is_wanted and kind not in _HOLDERS:
            yield Found(kind, line, None)
        else:
            yield from _of_text(name, line, wanted=wanted)


def _plain(line: bytes, wanted: Wanted) -> Found | None:
    """The resource that a line holds; None where none of it is read, or the line has to be looked at more closely."""
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    kind = _type_of(content)
    if kind not in wanted.kinds or kind in _HOLDERS or "contained" in content:
        return None
    return Found(kind, line, content)


def _of_text(name: str, text: bytes, *, wanted: Wanted) -> Iterator[Found]:
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        yield Found(_stem(name), text, None, BROKEN, file=name)
        return
    yield from _of_content(name, text, content=content, wanted=wanted)


def _stem(name: str) -> str:
    return Path(name).name.split(".")[0]


def _whole_lines(name: str, lines: IO[bytes]) -> Iterator[bytes]:
    """Lines with something in them; a compressed file that is damaged ends with a line that says so."""
    try:
        for number, line in enumerate(lines):
            if number == 0:
                check_utf_8(name, line)
                line = line.removeprefix(_BOM)
            if line := line.strip():
                yield line
    except DAMAGED:
        yield BREAKS_OFF


def _of_json(name: str, lines: IO[bytes], *, wanted: Wanted) -> Iterator[Found]:
    """One JSON document; a file of several, one a line, is read as that, whatever it is called."""
    pieces = list(_whole_lines(name, lines))
    text = b"\n".join(pieces)
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        if len(pieces) > 1 and _is_json(pieces[0]):
            for piece in pieces:
                yield from _of_text(name, piece, wanted=wanted)
        else:
            yield Found(_stem(name), text, None, BROKEN, file=name)
        return
    yield from _of_content(name, text, content=content, wanted=wanted)


def _is_json(text: bytes) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False


def _of_content(name: str, text: bytes, *, content: Any, wanted: Wanted) -> Iterator[Found]:
    if isinstance(content, list) and content and all(_type_of(one) for one in content):
        for one in content:
            yield from _of_resource(one, orjson.dumps(one), NOWHERE, wanted=wanted)
    elif _type_of(content):
        yield from _of_resource(content, text, NOWHERE, wanted=wanted)
    else:
        yield Found(_stem(name), text, None, NO_TYPE)


def _type_of(content: Any) -> str | None:
    kind = content.get("resourceType") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) and kind else None


def _of_resource(
    one: Resource, text: bytes, place: Place, *, wanted: Wanted, full_url: str | None = None, depth: int = 0
) -> Iterator[Found]:
    """A resource and those it contains; of a Bundle or Parameters, what they carry."""
    kind = str(one["resourceType"])
    if kind in _HOLDERS and depth < _DEPTH:
        yield from _of_bundle(one, place, wanted=wanted, depth=depth + 1)
        return
    yield Found(kind, text, one if kind in wanted.kinds else None, None, place, full_url)
    if kind in wanted.kinds and "contained" in one:
        for inner, whole in contained(one, wanted.inside):
            yield Found(inner, orjson.dumps(whole), whole, None, place, contained=True)


def _of_bundle(bundle: Resource, outer: Place, *, wanted: Wanted, depth: int) -> Iterator[Found]:
    is_bundle = bundle["resourceType"] == "Bundle"
    entries = _entries(bundle) if is_bundle else [*_parameters(bundle)]
    if is_bundle:
        yield from _deletions(bundle, outer, wanted=wanted)
    urls = {**(outer.urls or {}), **urls_of(entries)}
    for url, one in entries:
        # What comes without a url of its own is of the bundle's server, if that is itself an entry of one.
        place = place_of(url, urls) if url else Place(outer.server, urls)
        # A resource without an id is called by its url.
        whole = one if one.get("id") or not url else {**one, "id": url.rsplit("/", 1)[-1].removeprefix("urn:uuid:")}
        if _type_of(one):
            yield from _of_resource(whole, orjson.dumps(one), place, wanted=wanted, full_url=url, depth=depth)
        else:
            yield Found("Bundle" if is_bundle else "Parameters", orjson.dumps(one), None, NO_TYPE)


def _entries(bundle: Resource) -> list[tuple[Any, Resource]]:
    listed = bundle.get("entry")
    entries = [entry for entry in (listed if isinstance(listed, list) else []) if isinstance(entry, dict)]
    urls = ((entry.get("fullUrl"), entry.get("resource")) for entry in entries if not _is_deletion(entry))
    return [(url if isinstance(url, str) else None, one) for url, one in urls if isinstance(one, dict)]


def _is_deletion(entry: Resource) -> bool:
    request = entry.get("request")
    return isinstance(request, dict) and request.get("method") == "DELETE"


def _deletions(bundle: Resource, outer: Place, *, wanted: Wanted) -> Iterator[Found]:
    """Entries of a transaction or a history that delete a resource, as `deleted/` of a bulk export has them
    (https://hl7.org/fhir/uv/bulkdata/export.html, 'deleted').
    """
    listed = bundle.get("entry")
    for entry in listed if isinstance(listed, list) else ():
        if not (isinstance(entry, dict) and _is_deletion(entry)):
            continue
        url, response = entry["request"].get("url"), entry.get("response")
        means = literal(url) if isinstance(url, str) else None
        if means is None or means.kind not in wanted.kinds:
            continue
        full_url = entry.get("fullUrl")
        place = place_of(full_url, {}) if isinstance(full_url, str) else Place(outer.server)
        server = server_of(means.base) if means.base else place.server
        moment = response.get("lastModified") if isinstance(response, dict) else None
        meta = {"meta": {"lastUpdated": moment}} if isinstance(moment, str) else {}
        content = {"resourceType": means.kind, "id": means.id, **meta}
        yield Found(means.kind, orjson.dumps(entry), content, None, Place(server), deleted=True)


def _parameters(part: Resource) -> Iterator[tuple[None, Resource]]:
    """The resources of Parameters, those in parts of parts included."""
    lists = [one for one in (part.get("parameter"), part.get("part")) if isinstance(one, list)]
    for one in (inner for listed in lists for inner in listed if isinstance(inner, dict)):
        if isinstance(held := one.get("resource"), dict):
            yield None, held
        yield from _parameters(one)
