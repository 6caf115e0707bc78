"""Misspelt words that are read without a halt: letters swapped, lost, doubled or hit beside.

Gao et al. 2018, "Black-box Generation of Adversarial Text Sequences to Evade Deep Learning
Classifiers" (IEEE S&P Workshops); the first and the last letter stay, as in Pruthi, Dhingra &
Lipton 2019, "Combating Adversarial Misspellings with Robust Word Recognition" (ACL).
"""

from __future__ import annotations

import re

import numpy as np

from pipelines.perturbations.base import WORD, Perturbation, check_rate, outside_links

SHORTEST = 4
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # of a QWERTY keyboard (ISO/IEC 9995)
_BESIDE = {
    letter: row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    for row in _ROWS
    for place, letter in enumerate(row)
}


class Typos(Perturbation):
    """Misspell a `rate` share of the words of four letters or more, once each.

    Chinese signs are only swapped: which one is lost or doubled changes what is said.

    >>> Typos(1.0).perturb("voucher", np.random.default_rng(0))
    'vouher'
    """

    def __init__(self, rate: float = 0.3) -> None:
        self.rate = check_rate(rate)

    def perturb(self, text: str, rng: np.random.Generator) -> str:
        def misspell(word: re.Match[str]) -> str:
            letters = word.group()
            if len(letters) < SHORTEST or rng.random() >= self.rate:
                return letters
            return _misspelt(letters, rng)

        return outside_links(text, lambda stretch: WORD.sub(misspell, stretch))


def _misspelt(word: str, rng: np.random.Generator) -> str:
    place = int(rng.integers(1, len(word) - 2))  # its next letter is inside, too
    one, next_one = word[place], word[place + 1]
    beside = _BESIDE.get(one.lower(), one)
    has_case = one.lower() != one.upper()
    edits = (
        next_one + one,
        next_one,
        one + one + next_one,
        beside[int(rng.integers(len(beside)))] + next_one,
    )
    edit = edits[int(rng.integers(len(edits)))] if has_case else edits[0]
    return word[:place] + edit + word[place + 2 :]
