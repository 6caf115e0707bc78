"""How many characters, words, links, numbers and disguises there are in each text, compiled.

A text is walked from the blank before it to the blank after it: nothing beyond is looked at.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.characters import (
    AT,
    BLANK,
    BRACKET,
    COLON,
    CURRENCY,
    DIGIT,
    DOLLAR,
    DOT,
    FIELD,
    HYPHEN,
    KINDS,
    LOWER,
    NEWLINE,
    PERCENT,
    QUESTION,
    SLASH,
    Characters,
    Codes,
    Kinds,
    Positions,
    characters,
    hash_of,
    is_spread,
)
from pipelines.kernels import kernel

FEWEST_PHONE_DIGITS, MOST_PHONE_DIGITS = 7, 15  # ITU-T E.164
LONG_DIGITS, CAPITALS, ELLIPSIS = 5, 3, 3
TOP_LEVEL_DOMAINS = (
    "com", "net", "org", "info", "biz", "ru", "cn", "co", "uk", "tr", "tv", "me", "io", "ly", "gl",
    "be", "xyz", "top", "club", "tk", "de", "fr", "in",
)  # fmt: skip
_MONEY = ("tl", "usd", "eur", "euro", "euros", "gbp", "pound", "pounds", "dollar", "dollars", "元")

# The first columns are the characters of each kind, the blanks around a text left out.
(
    WORDS, CAPITAL_WORDS, NUMBERS, LEET_WORDS, DISTINCT_WORDS, SPREAD_WORDS,
    LINKS, DISTINCT_LINKS, LONGEST_LINK, LINKS_WITH_QUERY,
    EMAILS, PHONES, AMOUNTS, LONGEST_DIGITS, LONG_DIGIT_RUNS,
    ELLIPSES, IS_REPLY, FIRST_LINE, REPEATS,
) = range(KINDS, KINDS + 19)  # fmt: skip
COUNTS = KINDS + 19
_ONE_FIELD = (1 << FIELD) - 1
_LANES = 4

Counts = NDArray[np.float64]


def tallied(text: Characters) -> Counts:
    """float64[m, COUNTS]."""
    return _tallied(text.codes, text.kinds, text.starts, *text.words, *_known())


@cache
def _known() -> tuple[Codes, Codes, Codes]:
    """The hashes of some words."""
    return _hashes("www", "re"), _hashes(*TOP_LEVEL_DOMAINS), _hashes(*_MONEY)


def _hashes(*words: str) -> Codes:
    return characters(words).words.hashes


@kernel()
def _characters(kinds: Kinds, found: Counts) -> None:
    lanes = np.zeros((_LANES, KINDS), np.int64)  # one would wait for itself at each letter
    for at in range(len(kinds)):
        lanes[at % _LANES, kinds[at]] += 1
    for kind in range(KINDS):
        found[kind] = lanes[:, kind].sum()


@kernel()
def _words(kinds: Kinds, starts: Positions, ends: Positions, letters: Codes, found: Counts) -> None:
    found[WORDS] = len(starts)
    for word in range(len(starts)):
        length = ends[word] - starts[word]
        upper, lower = letters[word] & _ONE_FIELD, (letters[word] >> FIELD) & _ONE_FIELD
        digits = letters[word] >> (2 * FIELD)
        found[CAPITAL_WORDS] += (length >= CAPITALS) & (lower == 0) & (upper > 0)
        found[NUMBERS] += digits == length
        found[LEET_WORDS] += (digits > 0) & (digits < length)
        if length == 1 and word + 2 < len(starts):
            found[SPREAD_WORDS] += is_spread(kinds, starts[word])


@kernel()
def _different(hashes: Codes, count: int) -> int:
    """How many of the first hashes differ: a set by open addressing, at most half full."""
    size, bits = 2, 1
    while size < 2 * count:
        size, bits = 2 * size, bits + 1
    slots = np.zeros(size, np.uint32)
    different, zero = 0, 0
    for at in range(count):
        wanted = hashes[at]
        if wanted == 0:
            zero = 1
            continue
        slot = np.int64(np.uint32(wanted * np.uint32(0x9E3779B1)) >> (32 - bits))
        while slots[slot] != 0 and slots[slot] != wanted:
            slot = (slot + 1) & (size - 1)
        different += slots[slot] == 0
        slots[slot] = wanted
    return different + zero


@kernel()
def _is_among(name: np.uint32 | int, known: Codes | Kinds) -> bool:
    for one in known:
        if one == name:
            return True
    return False


@kernel()
def _is_of_link(codes: Codes, kinds: Kinds, at: int, www: np.uint32, domains: Codes) -> bool:
    """Whether a dot or a slash is that of www., of a top-level domain or of ://."""
    if kinds[at] == SLASH:
        return bool(kinds[at - 1] == COLON and kinds[at + 1] == SLASH)
    if kinds[at - 1] < DIGIT:
        return False
    start, end = at, at + 1
    while kinds[start - 1] >= DIGIT:
        start -= 1
    while kinds[end] >= DIGIT:
        end += 1
    return hash_of(codes, start, at) == www or _is_among(hash_of(codes, at + 1, end), domains)


@kernel()
def _token(kinds: Kinds, at: int) -> tuple[int, int]:
    """(start, end) of what is between blanks."""
    start, end = at, at
    while kinds[start - 1] > NEWLINE:
        start -= 1
    while kinds[end] > NEWLINE:
        end += 1
    return start, end


@kernel()
def _links(codes: Codes, kinds: Kinds, www: np.uint32, domains: Codes, found: Counts) -> None:
    """Tokens with ://, with www. or with a name of a known top-level domain."""
    links, number, link_end = np.empty(len(kinds) // 2 + 1, np.uint32), 0, 0
    for at in range(1, len(kinds) - 1):
        is_sign = (kinds[at] == DOT) | (kinds[at] == SLASH)
        if is_sign and at >= link_end and _is_of_link(codes, kinds, at, www, domains):
            link_start, link_end = _token(kinds, at)
            links[number] = hash_of(codes, link_start, link_end)
            number += 1
            found[LINKS_WITH_QUERY] += _is_among(QUESTION, kinds[link_start:link_end])
            found[LONGEST_LINK] = max(found[LONGEST_LINK], link_end - link_start)
    found[LINKS], found[DISTINCT_LINKS] = number, _different(links, number)


@kernel()
def _numbers(kinds: Kinds, start: int, end: int, found: Counts) -> None:
    """Runs of digits; and phone numbers, which may hold blanks, brackets, dots and hyphens.

    Nothing but these is between two digits of one number, and no letter is before the first.
    """
    run, size, leading = 0, 0, start
    for at in range(start, end):
        kind = kinds[at]
        if kind == DIGIT:
            leading = leading if size else at
            run, size = run + 1, size + 1
            continue
        if run:
            found[LONGEST_DIGITS] = max(found[LONGEST_DIGITS], run)
            found[LONG_DIGIT_RUNS] += run >= LONG_DIGITS
            run = 0
        is_within = kind <= NEWLINE or kind == BRACKET or kind == DOT or kind == HYPHEN
        if size and (at == end - 1 or not is_within):
            is_phone = FEWEST_PHONE_DIGITS <= size <= MOST_PHONE_DIGITS
            found[PHONES] += is_phone and kinds[leading - 1] < LOWER
            size = 0


@kernel()
def _is_before_money(codes: Codes, kinds: Kinds, at: int, money: Codes) -> bool:
    word = min(at + 1 + (kinds[at + 1] == BLANK), len(kinds) - 1)
    if kinds[word] < LOWER:
        return False
    after = word
    while kinds[after] >= DIGIT:
        after += 1
    return _is_among(hash_of(codes, word, after), money)


@kernel()
def _references(codes: Codes, kinds: Kinds, money: Codes, found: Counts) -> None:
    """Addresses of mail; digits with a sign or a word of money, or with a per cent sign."""
    for at in range(1, len(kinds) - 1):
        kind = kinds[at]
        if (kind <= NEWLINE) | (kind >= LOWER):
            continue
        if kind == DIGIT and kinds[at + 1] != DIGIT:
            found[AMOUNTS] += _is_before_money(codes, kinds, at, money)
        elif kind == AT:
            found[EMAILS] += kinds[at - 1] >= DIGIT and kinds[at + 1] >= DIGIT
        elif kind == CURRENCY or kind == DOLLAR or kind == PERCENT:
            after = min(at + 1 + (kinds[at + 1] == BLANK), len(kinds) - 1)
            before = max(at - 1 - (kinds[at - 1] == BLANK), 0)
            leads = kind != PERCENT and kinds[after] == DIGIT
            found[AMOUNTS] += leads or kinds[before] == DIGIT


@kernel()
def _layout(codes: Codes, kinds: Kinds, prefixes: Codes, found: Counts) -> None:
    dots, line = 0, len(kinds) - 1
    for at in range(1, len(kinds)):
        if kinds[at] == DOT:
            dots += 1
        elif dots:
            found[ELLIPSES] += dots >= ELLIPSIS
            dots = 0
        if kinds[at] == NEWLINE:
            line = min(line, at)
    found[FIRST_LINE] = line - 1
    if len(kinds) > 3 and kinds[3] == COLON:
        found[IS_REPLY] = hash_of(codes, 1, 3) == prefixes[1]


@kernel()
def _repeats(codes: Codes) -> int:
    """How often a character begins to stand three times in a row."""
    if len(codes) < 3:
        return 0
    repeats = np.int64((codes[0] == codes[1]) & (codes[1] == codes[2]))
    for at in range(1, len(codes) - 2):
        same = (codes[at] == codes[at + 1]) & (codes[at] == codes[at + 2])
        repeats += same & (codes[at] != codes[at - 1])
    return int(repeats)


@kernel(
    "float64[:, ::1](uint32[::1], uint8[::1], int64[::1], int64[::1], int64[::1], uint32[::1],"
    " uint32[::1], int64[::1], uint32[::1], uint32[::1], uint32[::1])"
)
def _tallied(
    codes: Codes, kinds: Kinds, starts: Positions, word_starts: Positions, word_ends: Positions,
    hashes: Codes, letters: Codes, first: Positions, prefixes: Codes, domains: Codes, money: Codes,
) -> Counts:  # fmt: skip
    counts = np.zeros((len(starts) - 1, COUNTS))
    for row in range(len(counts)):
        found, here = counts[row], slice(starts[row], starts[row + 1])
        lowered, signs = codes[here], kinds[here]
        words = slice(first[row], first[row + 1])
        begins, ends, names = word_starts[words], word_ends[words], hashes[words]
        _characters(signs[1:-1], found)
        _words(kinds, begins, ends, letters[words], found)
        found[DISTINCT_WORDS] = _different(names, len(names))
        _links(lowered, signs, prefixes[0], domains, found)
        _numbers(kinds, starts[row], starts[row + 1], found)
        _references(lowered, signs, money, found)
        _layout(lowered, signs, prefixes, found)
        found[REPEATS] = _repeats(lowered)
    return counts
