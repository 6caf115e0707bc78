"""Digits and signs for letters, as in "fr33 v1agra".

Eger et al. 2019, "Text Processing Like Humans Do: Visually Attacking and Shielding NLP
Systems" (NAACL); Groendahl et al. 2018, "All You Need is 'Love'" (AISec), section 4.
"""

from __future__ import annotations

import numpy as np

from pipelines.perturbations.base import Perturbation, check_rate, substitute

LEET = {
    "a": "4@", "b": "8", "e": "3", "g": "9", "i": "1!", "l": "1", "o": "0", "s": "5$", "t": "7",
    "z": "2",
}  # fmt: skip
_BOTH_CASES = LEET | {letter.upper(): stand_ins for letter, stand_ins in LEET.items()}


class Leetspeak(Perturbation):
    """Write letters as the digits and signs that resemble them.

    >>> Leetspeak(1.0).perturb("Be", np.random.default_rng(0))
    '83'
    """

    def __init__(self, rate: float = 0.2) -> None:
        self.rate = check_rate(rate)

    def perturb(self, text: str, rng: np.random.Generator) -> str:
        return substitute(text, _BOTH_CASES, self.rate, rng)
