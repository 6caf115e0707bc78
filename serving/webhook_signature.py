"""How webhooks are signed, those that come and those that go (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import hmac

SCHEME = "v1"


def signature(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the base64 of HMAC-SHA256 over `{delivery id}.{unix time}.{body}`.

    >>> signature("s", "d", "1", b"{}")
    'v1,IU+2+KHu4+2P4cNMuwvd3lx0u3yUZ/KaEHscpFOsm4Y='
    """
    content = b".".join((delivery_id.encode(), timestamp.encode(), body))
    digest = hmac.digest(secret.encode(), content, "sha256")
    return f"{SCHEME},{base64.b64encode(digest).decode()}"
