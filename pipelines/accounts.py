"""Account names become keyed hashes on ingestion; the names themselves are never stored."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata


def hash_account(account: str, key: str) -> str:
    """HMAC-SHA256 (RFC 2104) of the account under `key`, as 64 hexadecimal digits.

    Without the key a hash cannot be linked back by trying names. Composed and decomposed
    spellings (NFC) of a name are one account.

    >>> hash_account("Zoë", "k") == hash_account("Zoe\\u0308", "k")
    True
    """
    if not key:
        raise ValueError("the account key is empty; set WEIR_ACCOUNT_KEY")
    content = unicodedata.normalize("NFC", account).encode("utf-8", "surrogatepass")
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()
