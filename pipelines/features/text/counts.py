"""What is counted of plain texts: one column a name, a count or a share."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text import characters as kind
from pipelines.features.text import tallies as tally
from pipelines.features.text.characters import Characters

SCRIPTS = {
    "han": (kind.HAN,),
    "cyrillic": (kind.CYRILLIC_LOWER, kind.CYRILLIC_UPPER),
    "kana": (kind.KANA,),
    "arabic": (kind.ARABIC,),
    "devanagari": (kind.DEVANAGARI,),
    "turkish": (kind.TURKISH_LOWER, kind.TURKISH_UPPER),
    "latin": (kind.LOWER, kind.UPPER),
}
_ALL = range(kind.KINDS)
_PER_CHARACTER, _PER_WORD, _PER_LETTER = _ALL, (tally.WORDS,), range(kind.LOWER, kind.KINDS)
# Of each name the sum of these counts over that of those, which is at least 1.
_RATIOS: dict[str, tuple[range | tuple[int, ...], range | tuple[int, ...]]] = {
    "length_log": (_ALL, ()),  # their logarithm is taken at the end
    "words_log": ((tally.WORDS,), ()),
    "word_length_mean": (range(kind.DIGIT, kind.KINDS), _PER_WORD),
    "upper_share": (kind.LARGE_LETTERS, _PER_LETTER),
    "digit_share": ((kind.DIGIT,), _PER_CHARACTER),
    "sign_share": (range(kind.QUESTION, kind.DIGIT), _PER_CHARACTER),
    "exclamations": ((kind.EXCLAMATION,), ()),
    "exclamation_share": ((kind.EXCLAMATION,), _PER_CHARACTER),
    "questions": ((kind.QUESTION,), ()),
    "questions_per_word": ((kind.QUESTION,), _PER_WORD),
    "non_ascii_share": (
        (kind.CURRENCY, kind.WIDE, *range(kind.TURKISH_LOWER, kind.KINDS)), _PER_CHARACTER,
    ),
    "longest_digits": ((tally.LONGEST_DIGITS,), ()),
    "long_digit_runs": ((tally.LONG_DIGIT_RUNS,), ()),
    "links": ((tally.LINKS,), ()),
    "links_per_word": ((tally.LINKS,), _PER_WORD),
    "distinct_links": ((tally.DISTINCT_LINKS,), ()),
    "longest_link": ((tally.LONGEST_LINK,), ()),
    "links_with_query": ((tally.LINKS_WITH_QUERY,), ()),
    "emails": ((tally.EMAILS,), ()),
    "phones": ((tally.PHONES,), ()),
    "amounts": ((tally.AMOUNTS,), ()),
    "amounts_per_word": ((tally.AMOUNTS,), _PER_WORD),
    "capital_word_share": ((tally.CAPITAL_WORDS,), _PER_WORD),
    "number_share": ((tally.NUMBERS,), _PER_WORD),
    "leet_share": ((tally.LEET_WORDS,), _PER_WORD),
    "distinct_word_share": ((tally.DISTINCT_WORDS,), _PER_WORD),
    "lines": ((kind.NEWLINE,), ()),
    "line_share": ((kind.NEWLINE,), _PER_CHARACTER),
    "ats": ((kind.AT,), ()),
    "hashes": ((kind.HASH,), ()),
    "asterisks": ((kind.ASTERISK,), ()),
    "ellipses": ((tally.ELLIPSES,), ()),
    "is_reply": ((tally.IS_REPLY,), ()),
    "first_line_length": ((tally.FIRST_LINE,), ()),
    "spread_words": ((tally.SPREAD_WORDS,), ()),
    "repeat_share": ((tally.REPEATS,), _PER_CHARACTER),
    **{f"{script}_share": (kinds, _PER_CHARACTER) for script, kinds in SCRIPTS.items()},
}  # fmt: skip
COUNTED = tuple(_RATIOS)
_LOGARITHMS = 2  # of the first columns

Columns = NDArray[np.float64]


def counted(text: Characters) -> Columns:
    """float64[m, len(COUNTED)]."""
    counts = tally.tallied(text)
    above, below = _matrices()
    columns: Columns = (counts @ above) / np.maximum(counts @ below, 1.0)
    columns[:, :_LOGARITHMS] = np.log1p(columns[:, :_LOGARITHMS])
    return columns


@cache
def _matrices() -> tuple[Columns, Columns]:
    """float64[tally.COUNTS, len(COUNTED)] twice: 1 for a count above, and below, the line."""
    above, below = np.zeros((2, tally.COUNTS, len(COUNTED)))
    for column, (over, under) in enumerate(_RATIOS.values()):
        above[list(over), column] = 1
        below[list(under), column] = 1
    return above, below
