"""Who may look, where the page can be reached from elsewhere: one of the serving tokens.

Programs send it as a bearer token (RFC 6750), as to every server of Weir. People type it once, and
their browser keeps a signed time until which it is let in, never the token. The key is made at the
start: a restart signs everybody out.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from serving.tokens import Tokens

COOKIE = "weir_status"
LIFETIME = timedelta(hours=12)  # a shift


@dataclass(frozen=True)
class SignIn:
    """`tokens` None: everybody who reaches the page may look (loopback)."""

    tokens: Tokens | None
    clock: Callable[[], datetime]
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def may_look(self, authorization: str | None, cookie: str | None) -> bool:
        """By a bearer token, or by what `let_in` gave."""
        if self.tokens is None or self._is_ours(cookie or ""):
            return True
        return authorization is not None and self.tokens.refusal(authorization.encode()) is None

    def let_in(self, token: str) -> str | None:
        """What the browser keeps; None for a token that is not known."""
        if self.tokens is None or self.tokens.refusal(b"Bearer " + token.encode()) is not None:
            return None
        ends = str(int((self.clock() + LIFETIME).timestamp()))
        return f"{ends}.{self._signed(ends)}"

    def _is_ours(self, cookie: str) -> bool:
        ends, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._signed(ends).encode()):
            return False
        return self.clock().timestamp() < int(ends)

    def _signed(self, ends: str) -> str:
        return hmac.digest(self.key, ends.encode(), "sha256").hex()
