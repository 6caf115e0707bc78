"""Undo leetspeak and spacing where that turns a non-word into a word of the training texts.

The words are kept as 64-bit hashes, so that an artefact holds no word, and no name, of anybody.
Idea: Eger et al. 2019, "Text Processing Like Humans Do" (NAACL), section 5, rule-based recovery.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

MINIMUM_LENGTH = 3
MINIMUM_DOCUMENTS = 3
_WORD = re.compile(r"[^\W\d_]{3,24}")
_TOKEN = re.compile(r"[^\s,;:?\"()]+")
_SPREAD = re.compile(r"(?<![^\W_])[^\W\d_](?:([ .\-_*])[^\W\d_](?:\1[^\W\d_])+)(?![^\W_])")
_HAN_GAP = re.compile(r"(?<=[\u4e00-\u9fff])[ .\-_*](?=[\u4e00-\u9fff])")
_LEET = str.maketrans(
    {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "2": "z",
     "@": "a", "$": "s", "!": "i"}
)  # fmt: skip
_LEET_SIGN = re.compile(r"[0-9@$!]")
_LETTER = re.compile(r"[^\W\d_]")


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
        text = _HAN_GAP.sub("", text)
        repairs = 0

        def joined(match: re.Match[str]) -> str:
            nonlocal repairs
            letters = match.group().replace(match.group(1), "")
            words = self._segmented(letters.lower())
            repairs += len(words) > 0
            return _cased_like(letters, " ".join(words)) or match.group()

        def plain(match: re.Match[str]) -> str:
            nonlocal repairs
            word = self._unleet(match.group())
            repairs += word is not None
            return word or match.group()

        text = _SPREAD.sub(joined, text)
        if _LEET_SIGN.search(text):
            text = _TOKEN.sub(plain, text)
        return text, repairs

    def _unleet(self, token: str) -> str | None:
        core = token.strip(".-_*'")
        if not (_LEET_SIGN.search(core) and _LETTER.search(core)):
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
            for end in range(len(letters), start + MINIMUM_LENGTH - 1, -1):
                if letters[start:end] in self:
                    words.append(letters[start:end])
                    start = end
                    break
            else:
                return [letters] if len(letters) >= 4 else []
        return words


def _cased_like(original: str, word: str) -> str:
    return word.upper() if original.isupper() else word


def _readings(token: str) -> Sequence[str]:
    """Plain spellings that a leet token may stand for: 1 and ! read as i or l, a last ! as !."""
    bare = token.rstrip("!")
    spellings = [token, token.replace("1", "l"), token.replace("!", "l"), bare]
    spellings += [bare.replace("1", "l"), bare.replace("1", "l", 1)]
    return [spelling.translate(_LEET) for spelling in dict.fromkeys(spellings)]
