"""Who asks: a token that the platform signed for an account, or for a reviewer.

JSON Web Tokens (RFC 7519) with HMAC-SHA256 under WEIR_APPEALS_KEY, which platform and Weir share:
`sub` names the account as events do, or the reviewer; `aud` says as which of the two; `exp` ends
it. The platform knows who is signed in, Weir does not: it never sees a password.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import jwt

from data_contracts.errors import BadInput, ConfigurationError
from pipelines.accounts import hash_account

Audience = Literal["weir-appeals", "weir-appeals-review"]
ACCOUNT: Audience = "weir-appeals"
REVIEWER: Audience = "weir-appeals-review"
ALGORITHM = "HS256"
LONGEST_LIFETIME = timedelta(days=1)  # a token that leaks should not open the door for long
SHORTEST_KEY = 32  # bytes: RFC 7518, section 3.2
LONGEST_TOKEN = 4096
LONGEST_NAME = 128


class NoProof(BadInput):
    """The request does not prove who asks."""


@dataclass(frozen=True)
class Proof:
    """Reads tokens. `key` signs them, `account_key` turns accounts into the hashes of the lake."""

    key: str = field(repr=False)
    account_key: str = field(repr=False)
    clock: Callable[[], datetime]

    def __post_init__(self) -> None:
        if len(self.key.encode()) < SHORTEST_KEY:
            raise ConfigurationError(
                f"WEIR_APPEALS_KEY has {len(self.key.encode())} bytes; give at least "
                f"{SHORTEST_KEY} (`openssl rand -hex 32`)"
            )

    def account(self, token: str) -> str:
        """The keyed hash of the account that asks. Raises NoProof."""
        return hash_account(self._subject(token, ACCOUNT), self.account_key)

    def reviewer(self, token: str) -> str:
        """The reviewer's name. Raises NoProof."""
        return self._subject(token, REVIEWER)

    def _subject(self, token: str, audience: Audience) -> str:
        if not 0 < len(token) <= LONGEST_TOKEN:
            raise NoProof("no token; send Authorization: Bearer TOKEN, as the platform signed it")
        now = self.clock()
        try:
            claims = jwt.decode(
                token, self.key, algorithms=[ALGORITHM], audience=audience,
                options={"require": ["sub", "aud", "exp"], "verify_exp": False,
                         "verify_nbf": False, "verify_iat": False},
            )  # fmt: skip
            ends = datetime.fromtimestamp(float(claims["exp"]), UTC)
        except (jwt.PyJWTError, TypeError, ValueError, OverflowError, OSError) as error:
            raise NoProof(
                f"the token is not valid for {audience} ({type(error).__name__}); sign in again"
            ) from None
        if not now < ends <= now + LONGEST_LIFETIME:
            raise NoProof("the token is over, or is good for more than a day; sign in again")
        subject = str(claims["sub"])
        if not 0 < len(subject) <= LONGEST_NAME:
            raise NoProof(f"sub has {len(subject)} characters; give 1 to {LONGEST_NAME}")
        return subject


def signed(key: str, subject: str, audience: Audience, ends: datetime) -> str:
    """A token as the platform makes it: for its side, for demos and for tests."""
    return jwt.encode({"sub": subject, "aud": audience, "exp": ends}, key, algorithm=ALGORITHM)
