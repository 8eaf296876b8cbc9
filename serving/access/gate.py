"""The gate in front of every route: sign-in, role, media type, size and security headers, denied unless allowed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import anyio.to_thread
from sqlalchemy import Engine
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response

from serving.access.roles import COOKIE, MODELS, PROGRAMME, SCORE, WORKLIST, Door, Session, may, token_hash
from serving.store import Viewer, reading, repository

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LARGEST_BODY = 4_000_000
READY = "/readyz"
OPEN = ("/livez", READY, "/sign-in", "/favicon.ico")
STATIC = "/static/"
API = "/api/"
# First match wins; what no line names is refused to everybody. None: every role.
RULES: tuple[tuple[str, str | None], ...] = (
    ("/worklist", WORKLIST),
    ("/flags/", WORKLIST),
    ("/people/", WORKLIST),
    ("/programme", PROGRAMME),
    ("/models", MODELS),
    ("/metrics", MODELS),
    (API, SCORE),
    ("/docs.json", None),
    ("/schema.json", MODELS),
    ("/sign-out", None),
)
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


class Gate:
    """ASGI middleware. Leaves `scope["presage.session"]` (pages) or `scope["presage.viewer"]` (API) behind.

    told: what /readyz says of the models.
    """

    def __init__(self, app: App, *, door: Callable[[], Door], told: Callable[[], dict[str, object]]) -> None:
        self._app = app
        self._door = door
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it with the reason why not."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        door = self._door()
        guarded = _with_headers(send, path=scope["path"], secure=door.secure_cookies)
        if _is_api(scope["path"]):
            guarded = _in_one_shape(guarded)
        if scope["path"] == READY:
            guarded = _telling(guarded, self._told)
        refusal = _bad_body(scope) or await self._admit(scope, door)
        if refusal is not None:
            await refusal(scope, receive, guarded)
        else:
            await self._app(scope, _limited(receive), guarded)

    async def _admit(self, scope: Scope, door: Door) -> Response | None:
        path = scope["path"]
        if path in OPEN or path.startswith(STATIC):
            return None
        if path == "/":
            viewer = await _signed_in(scope, door)
            return None if viewer else _to_sign_in("/")
        rule = next(((prefix, needs) for prefix, needs in RULES if _under(path, prefix)), None)
        viewer = await (_by_token if _is_api(path) else _signed_in)(scope, door)
        if viewer is None and not _is_api(path) and path in ("/metrics", "/docs.json", "/schema.json"):
            viewer = await _by_token(scope, door)
        if viewer is None:
            return _unknown(scope)
        if rule is None:
            return problem(404, "this address", expected="one that exists")
        if rule[1] is not None and not may(viewer, rule[1]):
            return problem(403, "this address", expected=f"a sign-in whose role includes: {rule[1]}")
        return None


async def _signed_in(scope: Scope, door: Door) -> Viewer | None:
    cookie = cookie_parser(Headers(scope=scope).get("cookie", "")).get(COOKIE)
    session = await anyio.to_thread.run_sync(door.signer.session, door.engine, cookie)
    scope["presage.session"] = session
    return session.viewer if isinstance(session, Session) else None


async def _by_token(scope: Scope, door: Door) -> Viewer | None:
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    viewer = await anyio.to_thread.run_sync(_viewer_of_token, door.engine, token.strip())
    scope["presage.viewer"] = viewer
    return viewer


def _viewer_of_token(engine: Engine, token: str) -> Viewer | None:
    with reading(engine) as connection:
        now = datetime.now(UTC).replace(tzinfo=None)
        return repository.viewer_by_token(connection, token_hash(token), now=now)


def _bad_body(scope: Scope) -> Response | None:
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return None
    headers = Headers(scope=scope)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        return problem(413, "the request's body", expected=f"at most {LARGEST_BODY} bytes")
    wanted = "application/json" if _is_api(scope["path"]) else "application/x-www-form-urlencoded"
    if headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
        return problem(415, "the header Content-Type", expected=wanted)
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or _foreign_origin(headers):
        return problem(403, "the request", expected="one that comes from this service's own pages")
    return None


def _foreign_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _limited(receive: Receive) -> Receive:
    """A body sent in chunks, without a length, may not grow past the limit either."""
    seen = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > LARGEST_BODY else message

    return limited


def _with_headers(send: Send, *, path: str, secure: bool) -> Send:
    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if secure:
                headers["Strict-Transport-Security"] = "max-age=63072000"
            headers["Cache-Control"] = "max-age=3600" if path.startswith(STATIC) else "no-store"
        await send(message)

    return guarded


def _telling(send: Send, told: Callable[[], dict[str, object]]) -> Send:
    """That the service is ready, with the versions that serve; no person, and no reason, is in it."""
    body = b""

    async def telling(message: MutableMapping[str, Any]) -> None:
        nonlocal body
        if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
            body = json.dumps({"ready": True, **told()}).encode()
            headers = MutableHeaders(scope=message)
            headers["content-type"], headers["content-length"] = "application/json", str(len(body))
        await send({**message, "body": body} if body and message["type"] == "http.response.body" else message)

    return telling


def _in_one_shape(send: Send) -> Send:
    """BentoML's own refusals of an API request, brought to the shape of `problem`."""
    start: MutableMapping[str, Any] = {}
    body = bytearray()

    async def shaped(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            start.update(message)
            return
        if not start:
            await send(message)
            return
        body.extend(message.get("body", b""))
        if not message.get("more_body", False):
            answer = _as_problem(start["status"], bytes(body))
            kept = [(name, value) for name, value in start["headers"] if name.lower() not in (b"content-length",)]
            length = (b"content-length", str(len(answer)).encode())
            await send({**start, "headers": [*kept, length]})
            await send({"type": "http.response.body", "body": answer})

    return shaped


def _as_problem(status: int, body: bytes) -> bytes:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        return body
    if isinstance(told, dict) and told.get("detail"):
        first = told["detail"][0]
        where = ".".join(str(step) for step in first.get("loc", ())) or "the request's body"
        return bytes(problem(status, where, expected=str(first.get("msg", "")).removeprefix("Value error, ")).body)
    expected = "a request that the service can answer" if status >= 500 else HTTPStatus(status).phrase
    return bytes(problem(status, "the request", expected=expected).body)


def _unknown(scope: Scope) -> Response:
    if _is_api(scope["path"]) or scope["method"] != "GET":
        response = problem(401, "the request", expected="a sign-in")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    if "hx-request" in Headers(scope=scope):
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    return _to_sign_in(scope["path"])


def _to_sign_in(path: str) -> Response:
    return RedirectResponse(f"/sign-in?onward={quote(path)}" if path != "/" else "/sign-in", status_code=303)


def problem(status: int, where: str, *, expected: str, way_out: str | None = None) -> JSONResponse:
    """One clear error: where it is, what was expected, the way out. It repeats nothing that was sent."""
    error = {"where": where, "expected": expected} | ({"way_out": way_out} if way_out else {})
    return JSONResponse({"error": error}, status_code=status)


def _is_api(path: str) -> bool:
    return path.startswith(API)


def _under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")
