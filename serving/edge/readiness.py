"""What /readyz says: that the service is ready, and which versions serve."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.edge.addresses import READY


class Readiness:
    """ASGI middleware: BentoML decides whether the service is ready, and this adds the versions that serve.

    told: what is said of the models. No person, and no reason why a model is refused, is in it.
    """

    def __init__(self, app: ASGIApp, *, told: Callable[[], dict[str, object]]) -> None:
        self._app = app
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the application does; at /readyz, where all is well, with a body of its own."""
        is_asked = scope["type"] == "http" and scope["path"] == READY
        await self._app(scope, receive, self._telling(send) if is_asked else send)

    def _telling(self, send: Send) -> Send:
        body = b""

        async def telling(message: Message) -> None:
            nonlocal body
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.OK:
                body = json.dumps({"ready": True, **self._told()}).encode()
                headers = MutableHeaders(scope=message)
                headers["content-type"], headers["content-length"] = "application/json", str(len(body))
            await send({**message, "body": body} if body and message["type"] == "http.response.body" else message)

        return telling
