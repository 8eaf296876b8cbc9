"""The addresses that are answered in a way of their own, before it matters who asks."""

from __future__ import annotations

READY = "/readyz"
STATIC = "/static/"
API = "/api/"


def is_api(path: str) -> bool:
    """Whether a program asks, with a token and in JSON; everything else is for people at a browser.

    >>> is_api("/api/score"), is_api("/worklist")
    (True, False)
    """
    return path.startswith(API)
