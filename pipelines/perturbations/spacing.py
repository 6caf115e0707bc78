"""Signs or blanks between the letters of a word, as in "f r e e" and "c.a.s.h".

Groendahl et al. 2018, "All You Need is 'Love': Evading Hate Speech Detection" (AISec).
"""

from __future__ import annotations

import re

import numpy as np

from pipelines.perturbations.base import WORD, Perturbation, check_rate, outside_links

_SEPARATORS = " .-_*"


class Spacing(Perturbation):
    """Spread a `rate` share of the words of four letters or more with one separator each.

    In Chinese, up to four signs in a row are a word. The text at most doubles in length.

    >>> Spacing(1.0).perturb("cash", np.random.default_rng(0))
    'c-a-s-h'
    """

    def __init__(self, rate: float = 0.3) -> None:
        self.rate = check_rate(rate)

    def perturb(self, text: str, rng: np.random.Generator) -> str:
        def spread(word: re.Match[str]) -> str:
            if rng.random() >= self.rate:
                return word.group()
            return _SEPARATORS[int(rng.integers(len(_SEPARATORS)))].join(word.group())

        return outside_links(text, lambda stretch: WORD.sub(spread, stretch))
