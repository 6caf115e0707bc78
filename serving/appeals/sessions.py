"""Who is signed in at the pages of appeals: the platform's own token, kept by the browser.

The cookie holds the JSON Web Token that `proof` reads, so that every question is proven anew and
nothing needs to be remembered here. Scripts cannot read it, and other sites cannot make a browser
send it (HttpOnly, SameSite=Strict; RFC 6265bis). Forms carry a second word that only a page of ours
can know, bound to that token (OWASP, Cross-Site Request Forgery Prevention, signed double submit).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from serving.appeals.proof import LONGEST_LIFETIME

Side = Literal["review", "account"]
COOKIES: dict[Side, str] = {"review": "weir_review", "account": "weir_account"}
WORD = "csrf"  # the field of a form
SAME_SITE = ("same-origin", "none")  # none: typed, or opened from a bookmark


@dataclass(frozen=True)
class Sessions:
    """`key` binds forms to tokens. Over TLS the cookies travel over TLS only."""

    key: str = field(repr=False)

    def token(self, request: Request, side: Side) -> str:
        """What the browser keeps; empty where nobody is signed in."""
        return request.cookies.get(COOKIES[side], "")

    def keep(self, request: Request, answer: Response, side: Side, token: str) -> None:
        """The browser keeps the token for a day at most, as long as any is valid.

        Not where another site sent the form: it could sign its visitors in as somebody else.
        """
        if not is_from_here(request):
            return
        answer.set_cookie(
            COOKIES[side], token, max_age=int(LONGEST_LIFETIME.total_seconds()), httponly=True,
            samesite="strict", secure=request.url.scheme == "https",
        )  # fmt: skip

    def forget(self, answer: Response, side: Side) -> None:
        """Signed out, here; the token itself is valid until it ends."""
        answer.delete_cookie(COOKIES[side], httponly=True, samesite="strict")

    def word(self, token: str) -> str:
        """What forms of whoever holds the token carry."""
        return hmac.digest(self.key.encode(), b"form:" + token.encode(), "sha256").hex()

    def is_ours(self, request: Request, token: str, word: str) -> bool:
        """Whether a form was sent from a page of ours to whoever holds the token."""
        known = hmac.compare_digest(self.word(token).encode(), word.encode())
        return known and is_from_here(request)


def is_from_here(request: Request) -> bool:
    """By Fetch Metadata (https://www.w3.org/TR/fetch-metadata/), where the browser sends it."""
    said = request.headers.get("sec-fetch-site")
    return said is None or said in SAME_SITE
