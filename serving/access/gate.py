"""The gate in front of every route: who may come in, denied unless allowed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import anyio.to_thread
from sqlalchemy import Engine
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.access.roles import COOKIE, MODELS, PROGRAMME, SCORE, WORKLIST, Door, Session, may, token_hash
from serving.edge import API, READY, STATIC, is_api, problem
from serving.store import Viewer, reading, repository

OPEN = ("/livez", READY, "/sign-in", "/favicon.ico")
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
EITHER_WAY = ("/metrics", "/docs.json", "/schema.json")  # read by people and by programs with a token


class Gate:
    """ASGI middleware. Leaves `scope["presage.session"]` (pages) or `scope["presage.viewer"]` (API) behind."""

    def __init__(self, app: ASGIApp, *, door: Callable[[], Door]) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it with the reason why not; what is not HTTP gets no answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = await _refusal(scope, self._door())
            await (refusal or self._app)(scope, receive, send)


async def _refusal(scope: Scope, door: Door) -> Response | None:
    path = scope["path"]
    if path in OPEN or path.startswith(STATIC):
        return None
    if path == "/":
        return None if await _signed_in(scope, door) else _to_sign_in("/")
    viewer = await (_by_token if is_api(path) else _signed_in)(scope, door)
    if viewer is None and path in EITHER_WAY:
        viewer = await _by_token(scope, door)
    if viewer is None:
        return _unknown(scope)
    rule = next(((prefix, needs) for prefix, needs in RULES if _under(path, prefix)), None)
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


def _unknown(scope: Scope) -> Response:
    if is_api(scope["path"]) or scope["method"] != "GET":
        response = problem(401, "the request", expected="a sign-in")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response
    if "hx-request" in Headers(scope=scope):
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    return _to_sign_in(scope["path"])


def _to_sign_in(path: str) -> Response:
    return RedirectResponse(f"/sign-in?onward={quote(path)}" if path != "/" else "/sign-in", status_code=303)


def _under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix if prefix.endswith("/") else f"{prefix}/")
