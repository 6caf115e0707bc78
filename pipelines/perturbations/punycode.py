"""Letters and host names in full-width forms, which browsers and readers take for plain ones.

Salman, Ikram & Kaafar 2024, "Investigating Evasive Techniques in SMS Spam Filtering" (IEEE
Access 12): their "Punycode" messages write words and links so, some letters from Cyrillic. In a
link only forms are used that Unicode Technical Standard 46 maps back, so that it leads to the same
host; a look-alike host from other scripts (Gabrilovich & Gontmakher 2002, "The homograph attack")
would be another one, and the spammer's to register.
"""

from __future__ import annotations

import re

import numpy as np

from pipelines.perturbations.base import WORD, Perturbation, check_rate, outside_links
from pipelines.perturbations.homoglyph import LOOKALIKES

_TO_FULL_WIDTH = {code: chr(code + 0xFEE0) for code in range(ord("!"), ord("~") + 1)}
_FULL_STOPS = "\uff0e\u3002\uff61"  # UTS 46 maps each to the dot between labels
_LOOKALIKE_SHARE = 0.2
# The host of a link or of a bare name; not of an address, whose server may refuse it.
_HOST = re.compile(r"(?<![\w.@-])(?:[a-z0-9-]+\.)+[a-z]{2,}(?![\w@-])", re.I)


class Punycode(Perturbation):
    """Write a `rate` share of the words of Latin letters, and of the hosts, in full width.

    >>> Punycode(1.0).perturb("at bit.ly/x", np.random.default_rng(4))
    'at ｂｉｔ｡ｌｙ/x'
    """

    def __init__(self, rate: float = 0.2) -> None:
        self.rate = check_rate(rate)

    def perturb(self, text: str, rng: np.random.Generator) -> str:
        def wide_word(word: re.Match[str]) -> str:
            if not word.group().isascii() or rng.random() >= self.rate:
                return word.group()
            return "".join(_wide_letter(letter, rng) for letter in word.group())

        def wide_host(host: re.Match[str]) -> str:
            if rng.random() >= self.rate:
                return host.group()
            stop = _FULL_STOPS[int(rng.integers(len(_FULL_STOPS)))]
            return host.group().translate(_TO_FULL_WIDTH | {ord("."): stop})

        words = outside_links(text, lambda stretch: WORD.sub(wide_word, stretch))
        return _HOST.sub(wide_host, words)


def _wide_letter(letter: str, rng: np.random.Generator) -> str:
    if letter in LOOKALIKES and rng.random() < _LOOKALIKE_SHARE:
        return LOOKALIKES[letter][0]
    return letter.translate(_TO_FULL_WIDTH)
