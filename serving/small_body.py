"""The body of a short request to one of the small services: forms, webhooks."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request


async def body_of(request: Request, limit: int) -> bytes | None:
    """The body, or None where it is over the limit; no more than that is read.

    Empty where the client left: half a form is none, and half a body has no valid signature.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        return None
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                return None
    except ClientDisconnect:
        return b""
    return body
