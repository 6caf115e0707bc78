"""How spammy words are, and where to cut an advertisement so that neither half shows it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipelines.near_duplicates import normalised

WORD_CHARACTERS = 12  # longer on average, and blanks do not part words
EDGE_SHARE = 0.3  # a half has at least this share of the words


class Halves(NamedTuple):
    """`mild` is the half that says less of what the whole is."""

    mild: str
    other: str


@dataclass(frozen=True)
class Wording:
    """Log-odds of spam by word (by letter where a language writes no blanks)."""

    log_odds: Mapping[str, float]

    @classmethod
    def of(cls, spam: Iterable[str], ham: Iterable[str]) -> Wording:
        """Smoothed log-odds of each word's share of messages."""
        bad, good = _counted(spam), _counted(ham)
        bad_total, good_total = bad.total() + 1, good.total() + 1
        return cls(
            {
                word: math.log((bad[word] + 1) / bad_total)
                - math.log((good[word] + 1) / good_total)
                for word in bad | good
            }
        )

    def weight(self, words: Sequence[str]) -> float:
        """The sum over the words; a word that was never seen says nothing."""
        return sum(self.log_odds.get(normalised(word), 0.0) for word in words)

    def halves(self, text: str) -> Halves:
        """The text cut where the worse half is mildest.

        >>> wording = Wording.of(spam=["win cash now"], ham=["see you now"])
        >>> wording.halves("win a lot of cash")
        Halves(mild='win', other='a lot of cash')
        """
        words, glue = _words(text)
        if len(words) < 2:
            return Halves(text, text)
        edge = max(1, int(len(words) * EDGE_SHARE))
        cuts = range(edge, max(edge + 1, len(words) - edge + 1))
        cut = min(cuts, key=lambda at: max(self.weight(words[:at]), self.weight(words[at:])))
        parts = sorted((words[:cut], words[cut:]), key=self.weight)
        return Halves(glue.join(parts[0]), glue.join(parts[1]))


def _words(text: str) -> tuple[list[str], str]:
    """Words, or letters where blanks are too few to part words; and what joins them again."""
    words = text.split()
    enough = max(2, len(text) // WORD_CHARACTERS)
    return (words, " ") if len(words) >= enough else (list(text), "")


def _counted(texts: Iterable[str]) -> Counter[str]:
    return Counter(word for text in texts for word in {normalised(w) for w in _words(text)[0]})
