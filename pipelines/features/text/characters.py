"""Many texts as one array of characters, so that a count costs the same for one text as for many.

Every character has a kind; kinds are ordered so that a set of them is one comparison. Whatever is
computed of a row looks at that row alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.kernels import kernel

# what ends a token
BLANK, NEWLINE, QUESTION, COLON, BRACKET, SEPARATOR = range(6)
# other signs
DOT, HYPHEN, UNDERSCORE, ASTERISK, QUOTE = range(6, 11)
HASH, SLASH, CURRENCY, PERCENT, OTHER, WIDE = range(11, 17)
# signs that stand for letters in leetspeak, then digits, then letters
AT, DOLLAR, EXCLAMATION, DIGIT = range(17, 21)
LOWER, UPPER, TURKISH_LOWER, TURKISH_UPPER, CYRILLIC_LOWER, CYRILLIC_UPPER = range(21, 27)
OTHER_LOWER, OTHER_UPPER, HAN, KANA, ARABIC, DEVANAGARI, LETTER = range(27, 34)
KINDS = 34
SMALL_LETTERS = (LOWER, TURKISH_LOWER, CYRILLIC_LOWER, OTHER_LOWER)
LARGE_LETTERS = (UPPER, TURKISH_UPPER, CYRILLIC_UPPER, OTHER_UPPER)
FIELD = 10  # bits of a count within the sums over words

MOST_ROWS = (1 << 12) - 1  # a row number and a bucket of 20 bits are below 2^32 - 1 together
BASE = 0x9E3779B1  # odd
CHARACTERS_AT_ONCE = 1 << 14  # few enough that the arrays stay in a core's cache

_KINDS_OF_SIGNS = {
    " \t\r\f\v": BLANK, "\n": NEWLINE, "?": QUESTION, ":": COLON, "()": BRACKET, ',;"': SEPARATOR,
    ".": DOT, "-": HYPHEN, "*": ASTERISK, "#": HASH, "/": SLASH, "£€₺¥": CURRENCY, "%": PERCENT,
    "_": UNDERSCORE, "'": QUOTE, "@": AT, "$": DOLLAR, "!": EXCLAMATION,
}  # fmt: skip
_SIGNS = {sign: kind for signs, kind in _KINDS_OF_SIGNS.items() for sign in signs}
_TURKISH = "ğüşöçıİĞÜŞÖÇ"
_LETTER = re.compile(r"[^\W\d_]+")
_DIGIT = re.compile(r"\d+")
_BLANK = re.compile(r"\s+")
_SCRIPTS = {HAN: (0x4E00, 0x9FFF), KANA: (0x3040, 0x30FF), ARABIC: (0x600, 0x6FF),
            DEVANAGARI: (0x900, 0x97F)}  # fmt: skip
_CASED = 0x20000  # no letter beyond has a case
_LAST = 0x3FFFF  # what is beyond (tags, private use) counts as this one

Codes = NDArray[np.uint32]
Kinds = NDArray[np.uint8]
Positions = NDArray[np.int64]
Points = NDArray[np.uint8] | Codes


class Words(NamedTuple):
    """Runs of letters and digits: (start, end) int64[w], `hashes` and `letters` uint32[w].

    `first` int64[m + 1] is where each text's words begin. A hash is a polynomial of the characters
    in lower case, `starts[0]` the lowest power, as of Karp & Rabin 1987.
    """

    starts: Positions
    ends: Positions
    hashes: Codes
    letters: Codes
    first: Positions


@dataclass(frozen=True)
class Characters:
    """Texts one after the other, each between two blanks.

    `codes` uint32[n] of lower-case letters, `kinds` uint8[n], `starts` int64[m + 1] where each
    text's first blank is.
    """

    codes: Codes
    kinds: Kinds
    starts: Positions

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def words(self) -> Words:
        return Words(*_words(self.codes, self.kinds, self.starts, _weights()))


def characters(texts: Sequence[str]) -> Characters:
    """ValueError beyond MOST_ROWS texts: cut them with `chunks`."""
    if len(texts) > MOST_ROWS:
        raise ValueError(f"{len(texts)} texts at once; cut them into `chunks` of {MOST_ROWS}")
    joined = f" {'  '.join(texts)} " if texts else ""
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) + 2 for text in texts], out=starts[1:])
    codes, kinds = _read(points(joined), kinds_of_all(), _lower_codes())
    return Characters(codes, kinds, starts)


def chunks(texts: Sequence[str]) -> list[Sequence[str]]:
    """The texts in order, in parts of about CHARACTERS_AT_ONCE characters."""
    parts, first, size = [], 0, 0
    for at, text in enumerate(texts):
        size += len(text)
        if size >= CHARACTERS_AT_ONCE or at + 1 - first == MOST_ROWS:
            parts.append(texts[first : at + 1])
            first, size = at + 1, 0
    return [*parts, texts[first:]] if first < len(texts) else parts


def points(text: str) -> Points:
    """The code points of a text, uint8[n] of an ASCII one, else uint32[n]."""
    if text.isascii():
        return np.frombuffer(bytearray(text, "ascii"), np.uint8)
    return np.frombuffer(bytearray(text, "utf-32-le", "surrogatepass"), np.uint32)


def text_of(points: Points) -> str:
    """The text of such code points.

    >>> text_of(points("fünf €"))
    'fünf €'
    """
    if points.dtype == np.uint8:
        return points.tobytes().decode("ascii")
    return points.tobytes().decode("utf-32-le", "surrogatepass")


@kernel(
    "Tuple((uint32[::1], uint8[::1]))(uint8[::1], uint8[::1], uint32[::1])",
    "Tuple((uint32[::1], uint8[::1]))(uint32[::1], uint8[::1], uint32[::1])",
)
def _read(points: Points, kinds_of: Kinds, lower_of: Codes) -> tuple[Codes, Kinds]:
    codes, kinds = np.empty(len(points), np.uint32), np.empty(len(points), np.uint8)
    for at in range(len(points)):
        point = min(points[at], len(kinds_of) - 1)
        codes[at], kinds[at] = lower_of[point], kinds_of[point]
    return codes, kinds


@kernel()
def hash_of(codes: Codes, start: int, end: int) -> np.uint32:
    """Equal for parts of the text that are equal but for upper and lower case."""
    total, power = np.uint32(0), np.uint32(1)
    for at in range(start, end):
        total = np.uint32(total + (codes[at] + np.uint32(1)) * power)
        power = np.uint32(power * np.uint32(BASE))
    return total


@kernel(
    "Tuple((int64[::1], int64[::1], uint32[::1], uint32[::1], int64[::1]))"
    "(uint32[::1], uint8[::1], int64[::1], uint32[::1])"
)
def _words(
    codes: Codes, kinds: Kinds, texts: Positions, weights: Codes
) -> tuple[Positions, Positions, Codes, Codes, Positions]:
    most = len(codes) // 2 + 1  # a word ends with a blank or a sign
    starts, ends = np.empty(most, np.int64), np.empty(most, np.int64)
    hashes, letters = np.empty(most, np.uint32), np.empty(most, np.uint32)
    first, found = np.zeros(len(texts), np.int64), 0
    for text in range(len(texts) - 1):
        at = texts[text]
        while at < texts[text + 1]:
            if kinds[at] < DIGIT:
                at += 1
                continue
            starts[found] = at
            hashed, power, sorts = np.uint32(0), np.uint32(1), np.uint32(0)
            while kinds[at] >= DIGIT:  # the blank after a text ends its last word
                hashed = np.uint32(hashed + (codes[at] + np.uint32(1)) * power)
                power = np.uint32(power * np.uint32(BASE))
                sorts = np.uint32(sorts + weights[kinds[at]])
                at += 1
            ends[found], hashes[found], letters[found] = at, hashed, sorts
            found += 1
        first[text + 1] = found
    return starts[:found], ends[:found], hashes[:found], letters[:found], first


@kernel()
def is_spread(kinds: Kinds, at: int) -> bool:
    """Whether three lone letters follow each other from here, a character between them."""
    is_lone = (kinds[at - 1] < DIGIT) & (kinds[at] >= LOWER) & (kinds[at + 1] < DIGIT)
    if not is_lone or kinds[at + 2] < LOWER or kinds[at + 3] >= DIGIT:  # most often at once
        return False
    return bool(kinds[at + 4] >= LOWER and kinds[at + 5] < DIGIT)


@cache
def _weights() -> Codes:
    """uint32[KINDS]: an upper-case letter, a lower-case one and a digit count in fields apart."""
    weights = np.zeros(KINDS, np.uint32)
    weights[list(LARGE_LETTERS)], weights[list(SMALL_LETTERS)] = 1, 1 << FIELD
    weights[DIGIT] = 1 << (2 * FIELD)
    return weights


@cache
def kinds_of_all() -> Kinds:
    """uint8[_LAST + 1]: the kind of every character."""
    return _kinds_of("".join(map(chr, range(_LAST + 1))))


def _kinds_of(everything: str) -> Kinds:
    """uint8[k] of the first k characters of Unicode, given as a text."""
    kinds = np.full(len(everything), WIDE, np.uint8)
    kinds[:128] = OTHER
    for pattern, kind in ((_LETTER, LETTER), (_DIGIT, DIGIT), (_BLANK, BLANK)):
        for found in pattern.finditer(everything):
            kinds[found.start() : found.end()] = kind
    for kind, (first, last) in _SCRIPTS.items():
        script = kinds[first : last + 1]
        script[script == LETTER] = kind
    for letter in filter(str.isalpha, everything[:_CASED]):
        kinds[ord(letter)] = _cased_kind(letter) or kinds[ord(letter)]
    for sign, kind in _SIGNS.items():
        if ord(sign) < len(kinds):
            kinds[ord(sign)] = kind
    return kinds


def _cased_kind(letter: str) -> int | None:
    upper = letter.isupper()
    if not (upper or letter.islower()):
        return None
    if letter.isascii():
        return UPPER if upper else LOWER
    if letter in _TURKISH:
        return TURKISH_UPPER if upper else TURKISH_LOWER
    if "\u0400" <= letter <= "\u04ff":
        return CYRILLIC_UPPER if upper else CYRILLIC_LOWER
    return OTHER_UPPER if upper else OTHER_LOWER


@cache
def _lower_codes() -> Codes:
    """uint32[_LAST + 1]: the first character of each one's lower case."""
    codes = np.arange(_LAST + 1, dtype=np.uint32)
    for letter in filter(str.isupper, map(chr, range(_CASED))):
        codes[ord(letter)] = ord(letter.lower()[0])
    return codes
