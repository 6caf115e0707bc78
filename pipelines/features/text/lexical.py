"""Counts and shares of one text: length, letters, links, money, markup, disguise, script."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from math import log1p

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.normalisation import (
    INVISIBLE,
    MAX_CHARACTERS,
    TAG,
    fold,
    strip_markup,
)

_TLDS = "com|net|org|info|biz|ru|cn|co|uk|tr|tv|me|io|ly|gl|be|xyz|top|club|tk|de|fr|in"
URL = re.compile(
    r"(?:https?://|www\.)[^\s<>\"')]+"
    rf"|\b[a-z0-9-]{{2,63}}(?:\.[a-z0-9-]{{1,63}}){{0,4}}\.(?:{_TLDS})\b(?:/[^\s<>\"')]*)?",
    re.I,
)
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}\.[\w.]{1,63}")
_PHONE = re.compile(r"(?<!\w)\+?\d[\d\s().-]{6,20}\d")
_MONEY = re.compile(r"[$£€₺¥]\s?\d|\d\s?(?:tl|usd|eur|gbp|pounds?|元|dollars?|%|\$|£|€)", re.I)
_WORD = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")
_REPEAT = re.compile(r"(.)\1\1+")
_SPREAD = re.compile(r"(?:\b\w\b[\s.\-_*]+){3,}")
_LEET = re.compile(r"\b(?=\w*[a-z])(?=\w*[0-9@$])[\w@$]+\b", re.I)
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_MIXED_SCRIPT = re.compile("[A-Za-z][\u0370-\u058f]|[\u0370-\u058f][A-Za-z]")
_SCRIPTS = {
    "han": re.compile("[\u4e00-\u9fff]"),
    "cyrillic": re.compile("[\u0400-\u04ff]"),
    "kana": re.compile("[\u3040-\u30ff]"),
    "arabic": re.compile("[\u0600-\u06ff]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
    "turkish": re.compile("[ğüşöçıİĞÜŞÖÇ]"),
    "latin": re.compile("[A-Za-z]"),
}

NAMES: tuple[str, ...] = (
    "raw_length_log", "length_log", "words_log", "word_length_mean", "upper_share", "digit_share",
    "longest_digits", "long_digit_runs", "sign_share", "exclamations", "exclamation_share",
    "questions_per_word", "questions", "links", "links_per_word", "distinct_links", "longest_link",
    "links_with_query", "emails", "phones", "amounts", "amounts_per_word", "tags", "markup_log",
    "capital_word_share", "distinct_word_share", "lines", "line_share", "quoted_line_share", "ats",
    "hashes", "asterisks", "ellipses", "invisibles", "mixed_script", "leet_share", "spread_words",
    "repeat_share", "emoji", "compressed_share", "is_reply", "first_line_length", "number_share",
    "non_ascii_share", *(f"{script}_share" for script in _SCRIPTS),
)  # fmt: skip


def lexical_features(text: str, undisguised: Callable[[str], str] = fold) -> NDArray[np.float32]:
    """float32[len(NAMES)], finite, in the order of NAMES.

    Signs of disguise are counted in the text as it was written, everything else in what
    `undisguised` makes of it: a disguise must not make a text look like another kind of text.
    """
    raw = text[:MAX_CHARACTERS]
    written = strip_markup(raw)
    plain = undisguised(written)
    words = _WORD.findall(plain)
    values = [
        *_sizes(raw, plain, words),
        *_signs(plain, words),
        *_references(raw, plain, words),
        *_layout(raw, plain, words),
        *_disguise(raw, written),
        *_form(plain, words),
        *(len(script.findall(plain)) / max(len(plain), 1) for script in _SCRIPTS.values()),
    ]
    return np.array(values, np.float32)


def _sizes(raw: str, plain: str, words: list[str]) -> list[float]:
    mean = sum(map(len, words)) / max(len(words), 1)
    return [log1p(len(raw)), log1p(len(plain)), log1p(len(words)), mean]


def _signs(plain: str, words: list[str]) -> list[float]:
    length = max(len(plain), 1)
    letters = sum(map(str.isalpha, plain))
    blanks = sum(map(str.isspace, plain))
    runs = [len(run) for run in _DIGITS.findall(plain)]
    return [
        sum(map(str.isupper, plain)) / max(letters, 1),
        sum(runs) / length,
        max(runs, default=0),
        sum(run >= 5 for run in runs),
        (length - letters - sum(runs) - blanks) / length,
        plain.count("!"),
        plain.count("!") / length,
        plain.count("?") / max(len(words), 1),
        plain.count("?"),
    ]


def _references(raw: str, plain: str, words: list[str]) -> list[float]:
    links = URL.findall(raw if "<" in raw else plain)
    amounts = len(_MONEY.findall(plain))
    return [
        len(links),
        len(links) / max(len(words), 1),
        len(set(links)),
        max(map(len, links), default=0),
        sum("?" in link for link in links),
        len(_EMAIL.findall(plain)),
        len(_PHONE.findall(plain)),
        amounts,
        amounts / max(len(words), 1),
    ]


def _layout(raw: str, plain: str, words: list[str]) -> list[float]:
    count = max(len(words), 1)
    return [
        len(TAG.findall(raw)) if "<" in raw else 0,
        log1p(max(len(raw) - len(plain), 0)),
        sum(len(word) > 2 and word.isupper() for word in words) / count,
        len({word.lower() for word in words}) / count,
        plain.count("\n"),
        plain.count("\n") / max(len(plain), 1),
        raw.count("\n>") / (1 + raw.count("\n")),
        plain.count("@"),
        plain.count("#"),
        plain.count("*"),
        plain.count("..."),
    ]


def _disguise(raw: str, written: str) -> list[float]:
    return [
        len(INVISIBLE.findall(raw)),
        len(_MIXED_SCRIPT.findall(written)),
        len(_LEET.findall(written)) / max(len(_WORD.findall(written)), 1),
        len(_SPREAD.findall(written)),
        len(_REPEAT.findall(written)) / max(len(written), 1),
        len(_EMOJI.findall(written)),
    ]


def _form(plain: str, words: list[str]) -> list[float]:
    encoded = plain.encode("utf-8", "replace") or b" "
    return [
        len(zlib.compress(encoded, 1)) / len(encoded),
        float(plain.lstrip()[:3].lower() == "re:"),
        len(plain.split("\n", 1)[0]),
        sum(map(str.isdigit, words)) / max(len(words), 1),
        sum(ord(character) > 127 for character in plain) / max(len(plain), 1),
    ]
