"""Links of a text, as written, defanged or bare, and what their hosts look like.

The public suffix list is asked by `entities.divided`; nothing is ever fetched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from itertools import islice
from math import log2
from typing import NamedTuple

MAX_LINKS = 20
MAX_CANDIDATES = 200
_LETTER = "a-z0-9\u00df-\u024f\u0370-\u058f"
_END = r"\s<>\"'()\[\]{}|\\^`\u3000-\u9fff\uac00-\ud7a3\uff0c"  # Chinese goes on without a blank
_CANDIDATE = re.compile(
    rf"(?:(?<![a-z])(?:https?|ftp)://|(?<![{_LETTER}@.-])www\.)[^{_END}]{{1,2000}}"
    rf"|(?<![{_LETTER}@._-])(?:[{_LETTER}-]{{1,63}}\.){{1,8}}[{_LETTER}-]{{2,63}}(?![{_LETTER}@_-])"
    rf"(?::\d{{1,5}})?(?:[/?][^{_END}]{{0,2000}})?",
    re.I,
)
_DEFANGED = re.compile(r"hxxp(?=s?://|s?\[?:)|\[\.\]|\(\.\)|\{\.\}| ?[\[(]dot[\])] ?|\[:\]", re.I)
_TAIL = ".,;:!?…*_~"
_SCHEME = re.compile(r"[a-z]+://", re.I)
_HOST_END = re.compile(r"[/?#]")
_NUMERIC_HOST = re.compile(r"(?:0x[0-9a-f]{1,8}|\d{8,10})$")
_DOWNLOAD = re.compile(r"\.(?:apk|exe|scr|msi|zip|rar|7z|iso|jar|js|vbs|docm|xlsm)$", re.I)


class Domain(NamedTuple):
    """A host by the public suffix list; `registered` is `name.suffix`, empty without either."""

    subdomain: str
    name: str
    suffix: str

    @property
    def registered(self) -> str:
        return f"{self.name}.{self.suffix}" if self.name and self.suffix else ""


class Link(NamedTuple):
    """One link: `host` in lower case without user and port, `path` with its query."""

    host: str
    domain: Domain
    path: str
    is_bare: bool
    has_user: bool
    has_port: bool

    @property
    def is_address(self) -> bool:
        """The host is a number, not a name: IPv4, or its decimal or hexadecimal form."""
        if _NUMERIC_HOST.match(self.host):
            return True
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def is_international(self) -> bool:
        return "xn--" in self.host or not self.host.isascii()

    @property
    def is_download(self) -> bool:
        return bool(_DOWNLOAD.search(self.path.partition("?")[0]))

    @property
    def is_redirect(self) -> bool:
        """Another link stands inside its path."""
        return "http:/" in self.path or "https:/" in self.path or "%3a%2f%2f" in self.path.lower()


def refanged(text: str) -> tuple[str, int]:
    """The text with defanged links written out, and how many signs of it there were.

    >>> refanged("hxxps://bad[.]example")
    ('https://bad.example', 2)
    """
    return _DEFANGED.subn(_plain, text)


def links_in(
    text: str, divided: Callable[[str], Domain], is_ordinary: Callable[[Domain], bool]
) -> tuple[tuple[Link, ...], str]:
    """At most MAX_LINKS links, in order, and the text without them.

    A bare host counts where its suffix is public and, without a path, where `is_ordinary` does
    not take it for two words with a missing blank ("later.so").
    """
    links: list[Link] = []
    rest: list[str] = []
    end = 0
    for match in islice(_CANDIDATE.finditer(text), MAX_CANDIDATES):
        link = _link(match.group().rstrip(_TAIL), divided)
        if len(links) < MAX_LINKS and _counts(link, is_ordinary):
            links.append(link)
            rest.append(text[end : match.start()])
            end = match.end()
    return tuple(links), " ".join([*rest, text[end:]])


def entropy(name: str) -> float:
    """Shannon entropy of the characters in bits; 0 for nothing.

    >>> entropy("abab")
    1.0
    """
    counts = Counter(name).values()
    return sum(-count / len(name) * log2(count / len(name)) for count in counts)


def _plain(match: re.Match[str]) -> str:
    found = match.group().lower()
    return "http" if found == "hxxp" else ":" if found == "[:]" else "."


def _counts(link: Link, is_ordinary: Callable[[Domain], bool]) -> bool:
    if not link.is_bare:
        return bool(link.host)
    return bool(link.domain.registered) and (bool(link.path) or not is_ordinary(link.domain))


def _link(url: str, divided: Callable[[str], Domain]) -> Link:
    written = _SCHEME.sub("", url, count=1)
    authority = _HOST_END.split(written, maxsplit=1)[0]
    path = written[len(authority) :]
    user, at, place = authority.rpartition("@")
    host, colon, port = place.partition(":")
    host = host.lower().strip(".")
    is_bare = written == url and url[:4].lower() != "www."
    return Link(
        host, divided(host), path, is_bare, bool(at and user), bool(colon and port.isdigit())
    )
