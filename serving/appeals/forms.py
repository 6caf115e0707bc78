"""What every page of appeals shares: its headers, how a form is read, how the desk is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request

from serving.appeals.desk import Answer
from serving.small_body import body_of

PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
Fields = dict[str, str]
Ask = Callable[[str, Mapping[str, Any]], Answer]  # token and what was given
# asks with a token and what was given: status, what is said, headers; never raises what is ours
Heard = Callable[[Ask, str, Any], tuple[int, dict[str, Any], dict[str, str]]]


async def fields_of(request: Request, limit: int) -> Fields:
    """The first value of every field of a form; nothing of one that is too long."""
    return parsed(await body_of(request, limit) or b"")


def parsed(body: bytes) -> Fields:
    """
    >>> parsed(b"a=1&a=2&b=x%20y&c=")
    {'a': '1', 'b': 'x y', 'c': ''}
    """
    given = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True)
    return {name: values[0] for name, values in given.items()}
