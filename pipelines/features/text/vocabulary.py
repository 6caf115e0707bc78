"""Undo leetspeak and spacing where that turns a non-word into a word of the training texts.

The words are kept as 64-bit hashes, so that an artefact holds no word, and no name, of anybody.
Idea: Eger et al. 2019, "Text Processing Like Humans Do" (NAACL), section 5, rule-based recovery.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.characters import (
    AT,
    HAN,
    HASH,
    LOWER,
    SEPARATOR,
    Characters,
    Kinds,
    Positions,
    characters,
    chunks,
    is_spread,
)
from pipelines.kernels import kernel

MINIMUM_LENGTH, MAXIMUM_LENGTH = 3, 24
MINIMUM_DOCUMENTS = 3
_WORD = re.compile(rf"[^\W\d_]{{{MINIMUM_LENGTH},{MAXIMUM_LENGTH}}}")
_DISGUISED = re.compile(r"(?:[^\W\d_]|[0-57-9@$!])+")  # what a word of letters can come out of
_SPREAD = re.compile(r"(?<![^\W_])[^\W\d_](?:([ .\-_*])[^\W\d_](?:\1[^\W\d_])+)(?![^\W_])")
_HAN_GAP = re.compile(r"(?<=[\u4e00-\u9fff])[ .\-_*](?=[\u4e00-\u9fff])")
_LEET = str.maketrans(
    {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "2": "z",
     "@": "a", "$": "s", "!": "i"}
)  # fmt: skip
_AROUND = ".-_*'"  # stripped from a token before it is read

Repaired = list[tuple[str, int]]
Unleet = Callable[[str], str | None]


def _key(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest())


@dataclass(frozen=True)
class Vocabulary:
    """`hashes`: uint64[n], sorted. Words are lower case."""

    hashes: NDArray[np.uint64]

    @classmethod
    def of(cls, texts: Iterable[str], minimum: int = MINIMUM_DOCUMENTS) -> Vocabulary:
        """Words of three letters or more that stand in at least `minimum` of the texts."""
        documents: Counter[str] = Counter()
        for text in texts:
            documents.update(set(_WORD.findall(text.lower())))
        kept = sorted(_key(word) for word, count in documents.items() if count >= minimum)
        return cls(np.array(kept, dtype=np.uint64))

    @cached_property
    def _known(self) -> frozenset[int]:
        return frozenset(int(value) for value in self.hashes)

    def __contains__(self, word: str) -> bool:
        return _key(word) in self._known

    def repaired(self, text: str) -> tuple[str, int]:
        """The text with disguised words written out, and how many there were.

        >>> Vocabulary.of(["free cash"] * 3).repaired("FR33 c.a.s.h 4 u")
        ('FREE cash 4 u', 2)
        """
        return self.repaired_rows([text])[0]

    def repaired_rows(self, texts: Sequence[str]) -> Repaired:
        """`repaired` of each text: only what looks disguised is looked up."""
        return [row for rows, _ in self.repaired_parts(texts) for row in rows]

    def repaired_parts(self, texts: Sequence[str]) -> Iterator[tuple[Repaired, Characters]]:
        """`repaired_rows` by chunk, with the characters of the repaired texts."""
        unleet = cache(self._unleet)  # for this batch alone: no text of anybody is kept
        for part in chunks(texts):
            given, read = _without_han_gaps(part)
            rows = self._repaired_part(given, read, unleet)
            plain = [text for text, _ in rows]
            yield rows, read if plain == [*given] else characters(plain)

    def _repaired_part(self, texts: Sequence[str], read: Characters, unleet: Unleet) -> Repaired:
        rows = [(text, 0) for text in texts]
        for row, tokens in _suspicious_tokens(read).items():
            rows[row] = _with_plain_tokens(texts[row], tokens, unleet)
        for row, starts in _spread_letters(read).items():
            text, joined = self._with_joined_letters(texts[row], [start for (start,) in starts])
            if joined:
                tokens = _suspicious_tokens(characters([text])).get(0, [])
                plain, unleeted = _with_plain_tokens(text, tokens, unleet)
                rows[row] = plain, joined + unleeted
        return rows

    def _with_joined_letters(self, text: str, starts: Iterable[int]) -> tuple[str, int]:
        """`starts` are those of lone letters in the text, in order."""
        parts, done, passed, repairs = [], 0, 0, 0
        for start in starts:
            if start < passed or not (found := _SPREAD.match(text, start)):
                continue
            passed = found.end()
            letters = found.group().replace(found.group(1), "")
            if words := self._segmented(letters.lower()):
                parts += [text[done:start], _cased_like(letters, " ".join(words))]
                done, repairs = passed, repairs + 1
        return "".join([*parts, text[done:]]), repairs

    def _unleet(self, token: str) -> str | None:
        core = token.strip(_AROUND)
        if not _DISGUISED.fullmatch(core):
            return None
        for attempt in _readings(core.lower()):
            if len(attempt) >= MINIMUM_LENGTH and attempt in self:
                return token.replace(core, _cased_like(core, attempt))
        return None

    def _segmented(self, letters: str) -> Sequence[str]:
        """The letters as known words, longest first; all as one where a rest is left."""
        words: list[str] = []
        start = 0
        while start < len(letters):
            longest = min(len(letters), start + MAXIMUM_LENGTH)
            for end in range(longest, start + MINIMUM_LENGTH - 1, -1):
                if letters[start:end] in self:
                    words.append(letters[start:end])
                    start = end
                    break
            else:
                return [letters] if len(letters) >= 4 else []
        return words


def _with_plain_tokens(
    text: str, tokens: Iterable[Sequence[int]], unleet: Unleet
) -> tuple[str, int]:
    """`tokens` are spans in the text, in order."""
    parts, done, repairs = [], 0, 0
    for start, end in tokens:
        if (word := unleet(text[start:end])) is not None:
            parts += [text[done:start], word]
            done, repairs = end, repairs + 1
    return "".join([*parts, text[done:]]) if repairs else text, repairs


def _without_han_gaps(texts: Sequence[str]) -> tuple[Sequence[str], Characters]:
    """The texts without a sign that stands alone between Han characters, and what they hold."""
    read = characters(texts)
    rows = _han_gaps(read.kinds, read.starts)
    if not len(rows):
        return texts, read
    closed = list(texts)
    for row in rows.tolist():
        closed[row] = _HAN_GAP.sub("", texts[row])
    return closed, characters(closed)


def _by_row(found: Positions, text: Characters) -> dict[int, list[list[int]]]:
    """Of (row, positions) the positions, counted from the row's first character."""
    places: dict[int, list[list[int]]] = {}
    for row, *positions in found.tolist():
        before = int(text.starts[row]) + 1
        places.setdefault(row, []).append([position - before for position in positions])
    return places


def _spread_letters(text: Characters) -> dict[int, list[list[int]]]:
    """By row: where the first of three lone letters stands."""
    return _by_row(_lone_letters(text.kinds, text.starts), text)


def _suspicious_tokens(text: Characters) -> dict[int, list[list[int]]]:
    """By row: spans of tokens of letters and signs only in which one adjoins the other."""
    return _by_row(_mixed_tokens(text.kinds, text.starts), text)


@kernel("int64[::1](uint8[::1], int64[::1])")
def _han_gaps(kinds: Kinds, starts: Positions) -> Positions:
    """The rows in which a sign stands alone between two Han characters."""
    rows, found = np.empty(len(starts), np.int64), 0
    for row in range(len(starts) - 1):
        for at in range(starts[row], starts[row + 1] - 2):
            if kinds[at] == HAN and kinds[at + 1] != HAN and kinds[at + 2] == HAN:
                rows[found] = row
                found += 1
                break
    return rows[:found]


@kernel("int64[:, ::1](uint8[::1], int64[::1])")
def _lone_letters(kinds: Kinds, starts: Positions) -> Positions:
    """(row, position) of each lone letter after which two more follow, a sign between them."""
    spread, found = np.empty((len(kinds) // 2 + 1, 2), np.int64), 0
    for row in range(len(starts) - 1):
        here = kinds[starts[row] : starts[row + 1]]
        for at in range(1, len(here) - 5):
            if is_spread(here, at):
                spread[found, 0], spread[found, 1] = row, at + starts[row]
                found += 1
    return spread[:found]


@kernel()
def _is_one_piece(kinds: Kinds, start: int, end: int) -> bool:
    """Whether there is one run of letters and signs that stand for them, and little else."""
    runs = 0
    for at in range(start, end):
        if HASH <= kinds[at] < AT:  # a sign that no word of letters comes out of
            return False
        runs += kinds[at] >= AT and kinds[at - 1] < AT
    return runs == 1


@kernel("int64[:, ::1](uint8[::1], int64[::1])")
def _mixed_tokens(kinds: Kinds, starts: Positions) -> Positions:
    """(row, start, end) of tokens of one piece in which a letter and such a sign adjoin."""
    tokens, found, end = np.empty((len(kinds) // 3 + 1, 3), np.int64), 0, 0
    for row in range(len(starts) - 1):
        for at in range(starts[row] + 1, starts[row + 1]):
            low, high = min(kinds[at - 1], kinds[at]), max(kinds[at - 1], kinds[at])
            if (low >= AT) & (low < LOWER) & (high >= LOWER) & (at >= end):
                start, end = at, at
                while kinds[start - 1] > SEPARATOR:
                    start -= 1
                while kinds[end] > SEPARATOR:
                    end += 1
                if _is_one_piece(kinds, start, end):
                    tokens[found, 0], tokens[found, 1], tokens[found, 2] = row, start, end
                    found += 1
    return tokens[:found]


def _cased_like(original: str, word: str) -> str:
    return word.upper() if original.isupper() else word


def _readings(token: str) -> Sequence[str]:
    """Plain spellings that a leet token may stand for: 1 and ! read as i or l, a last ! as !."""
    bare = token.rstrip("!")
    spellings = [token]
    if "1" in token:
        spellings.append(token.replace("1", "l"))
    if "!" in token:
        spellings += [token.replace("!", "l"), bare]
    if "1" in bare:
        spellings += [bare.replace("1", "l"), bare.replace("1", "l", 1)]
    return [spelling.translate(_LEET) for spelling in dict.fromkeys(spellings)]
