"""Tags of a text: how many, how long, and the text without them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pipelines.features.text.characters import Points, points, text_of
from pipelines.kernels import kernel

LONGEST_TAG = 2000  # characters between its first and its last
_LESS, _GREATER, _SLASH, _EXCLAMATION, _SPACE, _NEWLINE = map(ord, "<>/! \n")
_A, _Z, _TO_LOWER = 0x61, 0x7A, 0x20


class Markup(NamedTuple):
    """`plain` has a blank for each tag; `characters` are those of all `tags`."""

    plain: str
    tags: int = 0
    characters: int = 0


def markup(text: str) -> Markup:
    """A tag is < and a letter, / or !, up to the next > where that is near enough.

    >>> markup("<b>Win</b> 5 < 6")
    Markup(plain=' Win  5 < 6', tags=2, characters=7)
    """
    if "<" not in text:
        return Markup(text)
    plain, tags, characters = _without_tags(points(text))
    return Markup(text_of(plain) if tags else text, tags, characters)


@kernel(
    "Tuple((uint8[::1], int64, int64))(uint8[::1])",
    "Tuple((uint32[::1], int64, int64))(uint32[::1])",
)
def _without_tags(text: Points) -> tuple[Points, int, int]:
    plain = np.empty_like(text)
    at, kept, tags, characters, end = 0, 0, 0, 0, 0
    while at < len(text):
        if text[at] == _LESS and at + 2 < len(text):
            first, letter = text[at + 1], text[at + 1] | _TO_LOWER
            if first == _SLASH or first == _EXCLAMATION or _A <= letter <= _Z:
                end = max(end, at + 2)
                while end < len(text) and text[end] != _GREATER:
                    end += 1
                if end < len(text) and end - at - 2 <= LONGEST_TAG:
                    plain[kept] = _SPACE
                    tags, characters = tags + 1, characters + end + 1 - at
                    at, kept = end + 1, kept + 1
                    continue
        plain[kept] = text[at]
        at, kept = at + 1, kept + 1
    return plain[:kept], tags, characters


@kernel("UniTuple(int64, 2)(uint8[::1])", "UniTuple(int64, 2)(uint32[::1])")
def quoted_lines(text: Points) -> tuple[int, int]:
    """(lines that begin with >, lines) after the first."""
    quoted, lines = 0, 0
    for at in range(len(text) - 1):
        quoted += (text[at] == _NEWLINE) & (text[at + 1] == _GREATER)
        lines += text[at] == _NEWLINE
    return quoted, lines + (len(text) > 0 and text[len(text) - 1] == _NEWLINE)
