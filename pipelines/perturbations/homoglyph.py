"""Letters that look the same in another script.

Boucher et al. 2022, "Bad Characters: Imperceptible NLP Attacks" (IEEE S&P); the pairs are a
subset of Unicode Technical Standard 39's confusables.
"""

from __future__ import annotations

import numpy as np

from pipelines.perturbations.base import Perturbation, check_rate, substitute

LOOKALIKES = {
    "a": "а", "c": "с", "d": "ԁ", "e": "е", "g": "ɡ", "h": "һ", "i": "іι", "j": "ј", "k": "κ",
    "l": "ӏ", "m": "м", "n": "ո", "o": "оο", "p": "рρ", "q": "ԛ", "s": "ѕ", "u": "υ", "v": "ν",
    "w": "ԝ", "x": "х", "y": "у",
    "A": "АΑ", "B": "ВΒ", "C": "СϹ", "E": "ЕΕ", "H": "НΗ", "I": "ІΙ", "J": "Ј", "K": "КΚ",
    "M": "МΜ", "N": "Ν", "O": "ОΟ", "P": "РΡ", "S": "Ѕ", "T": "ТΤ", "V": "Ѵ", "W": "Ԝ",
    "X": "ХΧ", "Y": "ҮΥ", "Z": "Ζ",
}  # fmt: skip


class Homoglyph(Perturbation):
    """Swap Latin letters for Cyrillic, Greek or Armenian ones that look alike.

    >>> text = Homoglyph(1.0).perturb("cash", np.random.default_rng(0))
    >>> text == "cash", len(text)
    (False, 4)
    """

    def __init__(self, rate: float = 0.2) -> None:
        self.rate = check_rate(rate)

    def perturb(self, text: str, rng: np.random.Generator) -> str:
        return substitute(text, LOOKALIKES, self.rate, rng)
