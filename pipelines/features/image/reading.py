"""What was read in pictures, as text and as figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.lexical import URL

MAX_CHARACTERS = 4000
LEAST_CONFIDENCE = 40.0  # of 100; what lies below is noise rather than text

_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.[\w.]{2,63}")
_PHONE = re.compile(r"(?<!\w)\+?\d[\d\s().-]{6,20}\d(?!\w)")
_CURRENCY = re.compile(r"[$€£¥₺₹]|\b(?:usd|eur|gbp)\b", re.I)

NAMES: tuple[str, ...] = (
    "ocr_characters", "ocr_words", "ocr_confidence", "ocr_doubtful_share", "ocr_area_share",
    "ocr_lines", "ocr_word_length", "ocr_digit_share", "ocr_upper_share", "ocr_urls", "ocr_emails",
    "ocr_phones", "ocr_currency", "ocr_exclamations",
)  # fmt: skip


class Word(NamedTuple):
    """`confidence` 0 to 100; `area` is the share of the picture that its box covers."""

    text: str
    confidence: float
    area: float
    begins_line: bool


def sure(words: Sequence[Word]) -> list[Word]:
    return [word for word in words if word.confidence >= LEAST_CONFIDENCE]


def plain_text(words: Sequence[Word]) -> str:
    """The sure words, lines kept, at most MAX_CHARACTERS."""
    parts = [("\n" if word.begins_line else " ") + word.text for word in sure(words)]
    return "".join(parts).strip()[:MAX_CHARACTERS]


def columns(pictures: Sequence[Sequence[Word]]) -> NDArray[np.float32]:
    """float32[len(NAMES)] of an event's pictures together; 0 where there is nothing to read."""
    words = [word for picture in pictures for word in picture]
    good = sure(words)
    text = "\n".join(plain_text(picture) for picture in pictures)
    length = max(len(text.strip()), 1)
    values = [
        log1p(len(text.strip())),
        log1p(len(good)),
        sum(word.confidence for word in good) / max(len(good), 1),
        1 - len(good) / max(len(words), 1) if words else 0.0,
        max((sum(word.area for word in sure(picture)) for picture in pictures), default=0.0),
        log1p(sum(word.begins_line for word in words)),
        sum(len(word.text) for word in good) / max(len(good), 1),
        sum(map(str.isdigit, text)) / length,
        sum(map(str.isupper, text)) / length,
        len(URL.findall(text)),
        len(_EMAIL.findall(text)),
        len(_PHONE.findall(text)),
        len(_CURRENCY.findall(text)),
        text.count("!"),
    ]
    return np.array(values, np.float32)
