"""Chinese signs as radicals and compatibility ideographs that look the same.

The table is Unicode's own: what NFKC maps to one unified ideograph (Unicode Standard Annex 15).
For the attack see Boucher et al. 2022, "Bad Characters: Imperceptible NLP Attacks" (IEEE S&P).
Traditional forms, components and pinyin would reach more signs and need tables that no installed
library has (OpenCC, a dictionary of readings).
"""

from __future__ import annotations

import unicodedata

import numpy as np

from pipelines.perturbations.base import Perturbation, check_rate, substitute

# CJK and Kangxi radicals, compatibility ideographs and their supplement
_BLOCKS = ((0x2E80, 0x2FD5), (0xF900, 0xFAD9), (0x2F800, 0x2FA1D))


def _variants() -> dict[str, str]:
    found: dict[str, str] = {}
    for first, last in _BLOCKS:
        for variant in map(chr, range(first, last + 1)):
            plain = unicodedata.normalize("NFKC", variant)
            if plain != variant and unicodedata.name(plain, "").startswith("CJK UNIFIED"):
                found[plain] = found.get(plain, "") + variant
    return found


VARIANTS = _variants()


class HanVariants(Perturbation):
    """Swap Chinese signs for another code point of the same sign, where Unicode has one.

    >>> HanVariants(1.0).perturb("大人", np.random.default_rng(0)) == "⼤⼈"
    True
    """

    def __init__(self, rate: float = 0.5) -> None:
        self.rate = check_rate(rate)

    def perturb(self, text: str, rng: np.random.Generator) -> str:
        return substitute(text, VARIANTS, self.rate, rng)
