"""What is counted of plain texts, all of a batch in the same passes: one column a name."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text import characters as kind
from pipelines.features.text.characters import (
    Characters,
    Codes,
    Flags,
    Positions,
    characters,
)

FEWEST_PHONE_DIGITS, MOST_PHONE_DIGITS = 7, 15  # ITU-T E.164
LONG_DIGITS, CAPITALS = 5, 3
TOP_LEVEL_DOMAINS = (
    "com", "net", "org", "info", "biz", "ru", "cn", "co", "uk", "tr", "tv", "me", "io", "ly", "gl",
    "be", "xyz", "top", "club", "tk", "de", "fr", "in",
)  # fmt: skip
SCRIPTS = {
    "han": (kind.HAN,),
    "cyrillic": (kind.CYRILLIC_LOWER, kind.CYRILLIC_UPPER),
    "kana": (kind.KANA,),
    "arabic": (kind.ARABIC,),
    "devanagari": (kind.DEVANAGARI,),
    "turkish": (kind.TURKISH_LOWER, kind.TURKISH_UPPER),
    "latin": (kind.LOWER, kind.UPPER),
}
_MONEY = ("tl", "usd", "eur", "euro", "euros", "gbp", "pound", "pounds", "dollar", "dollars", "元")
_LOWER = (kind.LOWER, kind.TURKISH_LOWER, kind.CYRILLIC_LOWER, kind.OTHER_LOWER)
_UPPER = (kind.UPPER, kind.TURKISH_UPPER, kind.CYRILLIC_UPPER, kind.OTHER_UPPER)
_GROUPS = {
    "all": range(kind.KINDS),
    "signs": range(kind.QUESTION, kind.DIGIT),
    "of_words": range(kind.DIGIT, kind.KINDS),
    "letters": range(kind.LOWER, kind.KINDS),
    "upper": _UPPER,
    "not_ascii": (kind.CURRENCY, kind.WIDE, *range(kind.TURKISH_LOWER, kind.KINDS)),
    **SCRIPTS,
}
_PHONE_SIGNS = (kind.BLANK, kind.NEWLINE, kind.BRACKET, kind.DOT, kind.HYPHEN, kind.DIGIT)
_FIELD = 10  # bits of a count within the sums over words
_ONE_FIELD = np.uint32((1 << _FIELD) - 1)
_WWW, _RE = "www", "re"
_OF_LINKS = ("links", "links_per_word", "distinct_links", "longest_link", "links_with_query")

Column = NDArray[np.float64]
Columns = dict[str, Column]


def counted(text: Characters) -> Columns:
    """float64[m] of each name, in a fixed order."""
    tally = _tally(text)
    length = np.maximum(tally.sum(axis=1), 1)
    words = np.maximum(text.per_row(text.words[0]), 1)
    groups = dict(zip(_GROUPS, (tally @ _group_matrix()).T, strict=True))
    return {
        **_sizes(text, groups),
        **_signs(tally, groups, length, words),
        **_digit_runs(text),
        **_links(text, words),
        **_references(text, words),
        **_word_kinds(text, words),
        **_layout(text, tally, length),
        **_disguise(text, length),
        **{f"{script}_share": groups[script] / length for script in SCRIPTS},
    }


def _tally(text: Characters) -> Column:
    """float64[m, KINDS]: how many characters of each kind, the blanks around a text left out."""
    keys = np.multiply(text.rows, kind.KINDS, dtype=np.int64)
    keys += text.kinds
    tally = np.bincount(keys, minlength=len(text) * kind.KINDS).astype(np.float64)
    tally = tally.reshape(len(text), kind.KINDS)
    tally[:, kind.BLANK] -= 2
    return tally


@cache
def _group_matrix() -> Column:
    """float64[KINDS, len(_GROUPS)]: 1 where a kind belongs to a group."""
    matrix = np.zeros((kind.KINDS, len(_GROUPS)))
    for column, kinds in enumerate(_GROUPS.values()):
        matrix[list(kinds), column] = 1
    return matrix


def _sizes(text: Characters, groups: Columns) -> Columns:
    words = text.per_row(text.words[0])
    return {
        "length_log": np.log1p(groups["all"]),
        "words_log": np.log1p(words),
        "word_length_mean": groups["of_words"] / np.maximum(words, 1),
    }


def _signs(tally: Column, groups: Columns, length: Column, words: Positions) -> Columns:
    exclamations, questions = tally[:, kind.EXCLAMATION], tally[:, kind.QUESTION]
    return {
        "upper_share": groups["upper"] / np.maximum(groups["letters"], 1),
        "digit_share": tally[:, kind.DIGIT] / length,
        "sign_share": groups["signs"] / length,
        "exclamations": exclamations,
        "exclamation_share": exclamations / length,
        "questions": questions,
        "questions_per_word": questions / words,
        "non_ascii_share": groups["not_ascii"] / length,
    }


def _digit_runs(text: Characters) -> Columns:
    starts, ends = text.runs(text.kinds == kind.DIGIT)
    lengths = ends - starts
    return {
        "longest_digits": _highest(text, starts, lengths),
        "long_digit_runs": _number(text, starts[lengths >= LONG_DIGITS]),
    }


def _links(text: Characters, words: Positions) -> Columns:
    """Tokens with ://, with www. or with a name of a known top-level domain."""
    signs = _link_signs(text)
    if not len(signs):
        return dict.fromkeys(_OF_LINKS, np.zeros(len(text)))
    starts, ends = text.runs(text.kinds > kind.NEWLINE)
    token = np.unique(np.searchsorted(starts, signs, side="right") - 1)
    starts, ends = starts[token], ends[token]
    asked = (text.kinds == kind.QUESTION).nonzero()[0]
    has_query = np.searchsorted(asked, ends) > np.searchsorted(asked, starts)
    links = _number(text, starts)
    return {
        "links": links,
        "links_per_word": links / words,
        "distinct_links": _distinct(text, starts, text.hashes(starts, ends)),
        "longest_link": _highest(text, starts, ends - starts),
        "links_with_query": _number(text, starts[has_query]),
    }


def _link_signs(text: Characters) -> Positions:
    kinds, (starts, ends) = text.kinds, text.words
    slashes = (kinds == kind.SLASH).nonzero()[0]
    schemes = slashes[(kinds[slashes - 1] == kind.COLON) & (kinds[slashes + 1] == kind.SLASH)]
    www = starts[(text.word_hashes == _hash_of(_WWW)) & (kinds[ends] == kind.DOT)]
    names = ((kinds[starts - 1] == kind.DOT) & (kinds[starts - 2] >= kind.DIGIT)).nonzero()[0]
    known = _among(text.word_hashes[names], _hashes_of(TOP_LEVEL_DOMAINS))
    return np.concatenate([schemes, www, starts[names[known]]])


def _references(text: Characters, words: Positions) -> Columns:
    amounts = _number(text, _amounts(text))
    return {
        "emails": _number(text, _between_letters(text, (text.kinds == kind.AT).nonzero()[0])),
        "phones": _number(text, _phones(text)),
        "amounts": amounts,
        "amounts_per_word": amounts / words,
    }


def _between_letters(text: Characters, signs: Positions) -> Positions:
    kinds = text.kinds
    return signs[(kinds[signs - 1] >= kind.DIGIT) & (kinds[signs + 1] >= kind.DIGIT)]


def _phones(text: Characters) -> Positions:
    """The first digits of numbers that may hold blanks, brackets, dots and hyphens.

    Nothing but these is between two digits of one number, and no letter is before the first.
    """
    digits: Positions = (text.kinds == kind.DIGIT).nonzero()[0]
    if len(digits) < FEWEST_PHONE_DIGITS:
        return digits[:0]
    foreign: Flags = ~_are_phone_signs()[text.kinds]
    foreign[text.starts[:-1]] = True
    parted = np.cumsum(foreign, dtype=np.int32)[digits]
    edges = np.concatenate([[0], (parted[1:] != parted[:-1]).nonzero()[0] + 1, [len(digits)]])
    sizes = edges[1:] - edges[:-1]
    leading = digits[edges[:-1][(sizes >= FEWEST_PHONE_DIGITS) & (sizes <= MOST_PHONE_DIGITS)]]
    found: Positions = leading[text.kinds[leading - 1] < kind.LOWER]
    return found


@cache
def _are_phone_signs() -> Flags:
    return np.isin(np.arange(kind.KINDS), _PHONE_SIGNS)


def _amounts(text: Characters) -> Positions:
    """Digits after a sign of money, or before one, a per cent sign or a word of money."""
    kinds = text.kinds
    digit = kinds == kind.DIGIT
    if not digit.any():
        return np.empty(0, np.int64)
    money = (kinds == kind.CURRENCY) | (kinds == kind.DOLLAR)
    signs = (money | (kinds == kind.PERCENT)).nonzero()[0]
    after = signs + 1 + (kinds[signs + 1] == kind.BLANK)
    before = signs - 1 - (kinds[signs - 1] == kind.BLANK)
    is_after = money[signs] & digit[np.minimum(after, len(kinds) - 1)]
    signed = signs[is_after | digit[before]]
    return np.concatenate([signed, _before_words_of_money(text, digit)])


def _before_words_of_money(text: Characters, digit: Flags) -> Positions:
    last = (digit[:-2] & ~digit[1:-1]).nonzero()[0]
    starts = last + 1 + (text.kinds[last + 1] == kind.BLANK)
    ends = text.words[1]
    at = np.searchsorted(ends, starts, side="right")
    inside = ((text.kinds[starts] >= kind.LOWER) & (at < len(ends))).nonzero()[0]
    starts, ends = starts[inside], ends[at[inside]]
    found: Positions = starts[_among(text.hashes(starts, ends), _hashes_of(_MONEY))]
    return found


def _word_kinds(text: Characters, words: Positions) -> Columns:
    starts, ends = text.words
    sums = np.zeros(len(text.kinds) + 1, np.uint32)
    np.cumsum(_word_weights()[text.kinds], out=sums[1:])
    found, lengths = sums[ends] - sums[starts], ends - starts
    upper, lower = found & _ONE_FIELD, (found >> np.uint32(_FIELD)) & _ONE_FIELD
    digits = found >> np.uint32(2 * _FIELD)
    capital = (lengths >= CAPITALS) & (lower == 0) & (upper > 0)
    return {
        "capital_word_share": _number(text, starts[capital]) / words,
        "number_share": _number(text, starts[digits == lengths]) / words,
        "leet_share": _number(text, starts[(digits > 0) & (digits < lengths)]) / words,
        "distinct_word_share": _distinct(text, starts, text.word_hashes) / words,
    }


@cache
def _word_weights() -> Codes:
    """uint32[KINDS]: an upper-case letter, a lower-case one and a digit count in fields apart.

    Of a word of a thousand letters and more the counts are wrong, and the same everywhere.
    """
    weights = np.zeros(kind.KINDS, np.uint32)
    weights[list(_UPPER)], weights[list(_LOWER)] = 1, 1 << _FIELD
    weights[kind.DIGIT] = 1 << (2 * _FIELD)
    return weights


def _layout(text: Characters, tally: Column, length: Column) -> Columns:
    lines = (text.kinds == kind.NEWLINE).nonzero()[0]
    dots, ends = text.runs(text.kinds == kind.DOT)
    first, last = text.starts[:-1], text.starts[1:] - 1
    breaks = np.append(lines, len(text.kinds))[np.searchsorted(lines, first)]
    reply = np.minimum(first + 3, len(text.kinds) - 1)
    is_reply = (text.kinds[reply] == kind.COLON) & (text.hashes(first + 1, reply) == _hash_of(_RE))
    return {
        "lines": tally[:, kind.NEWLINE],
        "line_share": tally[:, kind.NEWLINE] / length,
        "ats": tally[:, kind.AT],
        "hashes": tally[:, kind.HASH],
        "asterisks": tally[:, kind.ASTERISK],
        "ellipses": _number(text, dots[ends - dots >= 3]),
        "is_reply": is_reply.astype(np.float64),
        "first_line_length": (np.minimum(breaks, last) - first - 1).astype(np.float64),
    }


def _disguise(text: Characters, length: Column) -> Columns:
    same = text.codes[1:] == text.codes[:-1]
    thrice = (same[1:] & same[:-1]).nonzero()[0]
    fresh = thrice[np.diff(thrice, prepend=-2) > 1]
    return {
        "spread_words": _number(text, spread_words(text)),
        "repeat_share": _number(text, fresh) / length,
    }


def lone_letters(text: Characters) -> Flags:
    """bool[n - 2]: whether the second, third ... character is a letter without one beside it."""
    letter, inside = text.kinds >= kind.LOWER, text.kinds >= kind.DIGIT
    return np.asarray(letter[1:-1] & ~inside[:-2] & ~inside[2:])


def spread_words(text: Characters) -> Positions:
    """Where three lone letters follow each other with one character between them."""
    alone = lone_letters(text)
    return (alone[:-4] & alone[2:-2] & alone[4:]).nonzero()[0] + 3


def _number(text: Characters, positions: Positions) -> Column:
    return text.per_row(positions).astype(np.float64)


def _highest(text: Characters, positions: Positions, values: Positions) -> Column:
    highest = np.zeros(len(text))
    if len(positions):
        np.maximum.at(highest, text.rows[positions], values.astype(np.float64))
    return highest


def _among(hashes: Codes, known: Codes) -> Flags:
    return np.asarray((hashes[:, None] == known).any(axis=1))


def _distinct(text: Characters, positions: Positions, hashes: Codes) -> Column:
    """How many different hashes stand at the positions of each text."""
    keys = (text.rows[positions].astype(np.uint64) << np.uint64(32)) | hashes
    keys.sort()
    is_new = np.ones(len(keys), bool)
    np.not_equal(keys[1:], keys[:-1], out=is_new[1:])
    rows = (keys[is_new] >> np.uint64(32)).astype(np.int64)
    return np.bincount(rows, minlength=len(text)).astype(np.float64)


@cache
def _hash_of(word: str) -> np.uint32:
    return np.uint32(characters([word]).word_hashes[0])


@cache
def _hashes_of(words: tuple[str, ...]) -> Codes:
    return np.array([_hash_of(word) for word in words], np.uint32)
