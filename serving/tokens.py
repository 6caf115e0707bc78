"""Weir's bearer tokens (RFC 6750): who is let in, and what its own clients send.

They come from the environment (WEIR_SERVING_TOKENS, parted by commas or white space) or from a file
(one a line); several at a time, so that one can follow another without a gap. Only their hashes are
kept, and every one is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from data_contracts.config import Serving
from data_contracts.errors import ConfigurationError

TOKENS = "WEIR_SERVING_TOKENS"
SHORTEST_TOKEN = 16  # characters
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1


class Tokens:
    """The tokens that are let in. Raises ConfigurationError for none, or for one that is weak."""

    def __init__(self, tokens: Iterable[str]):
        known = tuple(tokens)
        if not known:
            raise ConfigurationError(
                f"serving.authentication is tokens, and there is none; set {TOKENS}, or "
                "serving.tokens_file with one token a line"
            )
        for number, token in enumerate(known, 1):
            if len(token) < SHORTEST_TOKEN or not _TOKEN.fullmatch(token):
                raise ConfigurationError(
                    f"token {number} of {len(known)} has {len(token)} characters: give at least "
                    f"{SHORTEST_TOKEN}, letters, digits and ._~+/- only (`openssl rand -hex 32`)"
                )
        self._digests = tuple(_digest(token.encode()) for token in known)

    def refusal(self, authorization: bytes | None) -> str | None:
        """Why a request with this Authorization is not let in; None where it is.

        >>> tokens = Tokens(["0123456789abcdef"])
        >>> tokens.refusal(b"Bearer 0123456789abcdef"), tokens.refusal(b"bearer 0123456789abcdef")
        (None, None)
        >>> tokens.refusal(None)
        'no bearer token; send Authorization: Bearer TOKEN'
        """
        scheme, _, token = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return "no bearer token; send Authorization: Bearer TOKEN"
        asked = _digest(token.strip())
        matches = [hmac.compare_digest(asked, known) for known in self._digests]  # always all
        return None if any(matches) else "the bearer token is not known here; ask who runs this"


def read_tokens(settings: Serving, environment: Mapping[str, str] = os.environ) -> Tokens | None:
    """The configured tokens; None where none are asked for. Raises ConfigurationError."""
    if settings.authentication == "none":
        return None
    return Tokens(_configured(settings, environment))


def own_headers(settings: Serving, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What Weir's own clients send to a model server: the first of its tokens, read anew, so that
    it may follow another; nothing where none are asked for. Raises ConfigurationError.
    """
    if read_tokens(settings, environment) is None:
        return {}
    return {"authorization": f"Bearer {_configured(settings, environment)[0]}"}


def _configured(settings: Serving, environment: Mapping[str, str]) -> list[str]:
    if settings.tokens_file is None:
        return environment.get(TOKENS, "").replace(",", " ").split()
    return _lines(settings.tokens_file)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"serving.tokens_file {path}: {type(error).__name__}; name a readable text file "
            "with one token a line"
        ) from None
    return [line.strip() for line in lines if line.strip()]


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
