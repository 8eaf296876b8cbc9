"""Bodies of requests: at most so large, of the media type that is read, and sent from this service's own pages."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.edge.addresses import is_api
from serving.edge.problems import problem

LARGEST_BODY = 4_000_000


class Bodies:
    """ASGI middleware: refuses a body before anything of it is read, whoever sends it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with a limit on its body, or answer it with the reason why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
        else:
            await self._app(scope, _limited(receive), send)


def _refusal(scope: Scope) -> Response | None:
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return None
    headers = Headers(scope=scope)
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        return problem(413, "the request's body", expected=f"at most {LARGEST_BODY} bytes")
    wanted = "application/json" if is_api(scope["path"]) else "application/x-www-form-urlencoded"
    if headers.get("content-type", "").partition(";")[0].strip().lower() != wanted:
        return problem(415, "the header Content-Type", expected=wanted)
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") or _is_foreign(headers):
        return problem(403, "the request", expected="one that comes from this service's own pages")
    return None


def _is_foreign(headers: Headers) -> bool:
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _limited(receive: Receive) -> Receive:
    """A body sent in chunks, without a length, may not grow past the limit either."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > LARGEST_BODY else message

    return limited
