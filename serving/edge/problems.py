"""The one shape in which the API refuses: where it is, what was expected, the way out."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.edge.addresses import is_api


def problem(status: int, where: str, *, expected: str, way_out: str | None = None) -> JSONResponse:
    """One clear error: where it is, what was expected, the way out. It repeats nothing that was sent.

    >>> problem(404, "this address", expected="one that exists").body
    b'{"error":{"where":"this address","expected":"one that exists"}}'
    """
    error = {"where": where, "expected": expected} | ({"way_out": way_out} if way_out else {})
    return JSONResponse({"error": error}, status_code=status)


class Problems:
    """ASGI middleware: BentoML's own refusals of an API request, brought to the shape of `problem`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does; a refusal under /api/ is read whole and told anew."""
        is_request = scope["type"] == "http" and is_api(scope["path"])
        await self._app(scope, receive, _in_one_shape(send) if is_request else send)


def _in_one_shape(send: Send) -> Send:
    start: Message = {}
    body = bytearray()

    async def shaped(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            start.update(message)
            return
        if not start:
            await send(message)
            return
        body.extend(message.get("body", b""))
        if not message.get("more_body", False):
            answer = _as_problem(start["status"], bytes(body))
            kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
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
