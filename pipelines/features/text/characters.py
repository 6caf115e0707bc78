"""Many texts as one array of characters, so that a count costs the same for one text as for many.

Every character has a kind; kinds are ordered so that a set of them is one comparison. Whatever is
computed of a row looks at that row alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

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

MOST_ROWS = (1 << 12) - 1  # a row number and a bucket of 20 bits are below 2^32 - 1 together
BASE = 0x9E3779B1  # odd, so that it has an inverse modulo 2^32
CHARACTERS_AT_ONCE = 1 << 16  # few enough that the arrays stay in a core's cache

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
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Characters:
    """Texts one after the other, each between two blanks.

    `codes` uint32[n] of lower-case letters, `kinds` uint8[n], `rows` uint32[n] the text of each
    character, `starts` int64[m + 1] where each text's first blank is.
    """

    codes: Codes
    kinds: Kinds
    rows: Codes
    starts: Positions

    def __len__(self) -> int:
        return len(self.starts) - 1

    def per_row(self, positions: Positions) -> Positions:
        """int64[m]: how many of these positions each text has."""
        if not len(positions):
            return np.zeros(len(self), np.int64)
        return np.bincount(self.rows[positions], minlength=len(self))

    def runs(self, inside: Flags) -> tuple[Positions, Positions]:
        """(start, end) int64[r] of each run of flags; the blanks around a text must be without."""
        edges = (inside[1:] != inside[:-1]).nonzero()[0] + 1
        return edges[0::2], edges[1::2]

    @cached_property
    def words(self) -> tuple[Positions, Positions]:
        """(start, end) of each run of letters and digits."""
        return self.runs(self.kinds >= DIGIT)

    @cached_property
    def word_hashes(self) -> Codes:
        return self.hashes(*self.words)

    def hashes(self, starts: Positions, ends: Positions) -> Codes:
        """uint32[r]: equal for parts that are equal but for upper and lower case.

        Differences of sums over the text, brought to one power: as of Karp & Rabin 1987.
        """
        sums, inverse = self._sums
        return (sums[ends] - sums[starts]) * inverse[starts]

    @cached_property
    def _sums(self) -> tuple[Codes, Codes]:
        size = 1 << len(self.codes).bit_length()
        powers, inverse = _powers(BASE, size), _powers(pow(BASE, -1, 1 << 32), size)
        sums = np.zeros(len(self.codes) + 1, np.uint32)
        shifted = self.codes + np.uint32(1)
        np.cumsum(shifted * powers[: len(shifted)], dtype=np.uint32, out=sums[1:])
        return sums, inverse


def characters(texts: Sequence[str]) -> Characters:
    """ValueError beyond MOST_ROWS texts: cut them with `chunks`."""
    if len(texts) > MOST_ROWS:
        raise ValueError(f"{len(texts)} texts at once; cut them into `chunks` of {MOST_ROWS}")
    joined = f" {'  '.join(texts)} " if texts else ""
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) + 2 for text in texts], out=starts[1:])
    rows = np.repeat(np.arange(len(texts), dtype=np.uint32), np.diff(starts))
    return Characters(*_read(joined), rows, starts)


def chunks(texts: Sequence[str]) -> list[Sequence[str]]:
    """The texts in order, in parts of about CHARACTERS_AT_ONCE characters."""
    parts, first, size = [], 0, 0
    for at, text in enumerate(texts):
        size += len(text)
        if size >= CHARACTERS_AT_ONCE or at + 1 - first == MOST_ROWS:
            parts.append(texts[first : at + 1])
            first, size = at + 1, 0
    return [*parts, texts[first:]] if first < len(texts) else parts


def _read(joined: str) -> tuple[Codes, Kinds]:
    if joined.isascii():
        encoded = joined.encode("ascii")
        kinds = np.frombuffer(encoded.translate(_ascii_kinds()), np.uint8)
        return np.frombuffer(encoded.lower(), np.uint8).astype(np.uint32), kinds
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    codes = np.minimum(codes, np.uint32(_LAST))
    return _lower_codes()[codes], _all_kinds()[codes]


@cache
def _all_kinds() -> Kinds:
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
def _ascii_kinds() -> bytes:
    return _kinds_of("".join(map(chr, range(256)))).tobytes()


@cache
def _lower_codes() -> Codes:
    """uint32[_LAST + 1]: the first character of each one's lower case."""
    codes = np.arange(_LAST + 1, dtype=np.uint32)
    for letter in filter(str.isupper, map(chr, range(_CASED))):
        codes[ord(letter)] = ord(letter.lower()[0])
    return codes


@cache
def _powers(base: int, size: int) -> Codes:
    """uint32[size]: the powers of the base modulo 2^32."""
    row = np.full(size, base, np.uint32)
    row[0] = 1
    return np.cumprod(row, dtype=np.uint32)
