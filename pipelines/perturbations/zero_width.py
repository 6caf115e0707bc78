"""Characters of no width between letters: nobody sees them, and no word is itself any more.

Boucher et al. 2022, "Bad Characters: Imperceptible NLP Attacks" (IEEE S&P), section IV.A.
"""

from __future__ import annotations

import re

import numpy as np

from pipelines.perturbations.base import Perturbation, check_rate, outside_links

# Zero width space, word joiner, invisible separator, zero width no-break space, and a variation
# selector, which means nothing after a letter. The (non-)joiners U+200C and U+200D are left out:
# they are seen, since they change how Arabic and Devanagari letters join.
INVISIBLE_SIGNS = "\u200b\u2060\u2063\ufeff\ufe00"
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])(?=[^\W\d_])")


class ZeroWidth(Perturbation):
    """Put one sign of INVISIBLE_SIGNS into a `rate` share of the gaps between letters.

    >>> text = ZeroWidth(1.0).perturb("cash", np.random.default_rng(0))
    >>> len(text), "".join(letter for letter in text if letter.isalpha())
    (7, 'cash')
    """

    def __init__(self, rate: float = 0.2) -> None:
        self.rate = check_rate(rate)

    def perturb(self, text: str, rng: np.random.Generator) -> str:
        def sign(_: re.Match[str]) -> str:
            if rng.random() >= self.rate:
                return ""
            return INVISIBLE_SIGNS[int(rng.integers(len(INVISIBLE_SIGNS)))]

        return outside_links(text, lambda stretch: _BETWEEN_LETTERS.sub(sign, stretch))
