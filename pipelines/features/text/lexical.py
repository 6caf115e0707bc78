"""Counts and shares of a text: length, letters, links, money, markup, disguise, script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from math import log1p
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.characters import characters, chunks, points
from pipelines.features.text.counts import COUNTED, SCRIPTS, Columns, counted
from pipelines.features.text.markup import markup, quoted_lines
from pipelines.features.text.normalisation import INVISIBLE, MAX_CHARACTERS, readable
from pipelines.features.text.tallies import TOP_LEVEL_DOMAINS

URL = re.compile(
    r"(?:https?://|www\.)[^\s<>\"')]+"
    r"|\b[a-z0-9-]{2,63}(?:\.[a-z0-9-]{1,63}){0,4}"
    rf"\.(?:{'|'.join(TOP_LEVEL_DOMAINS)})\b(?:/[^\s<>\"')]*)?",
    re.I,
)
_ADDRESS = re.compile(r"://[^\s<>\"')]+")  # begins with a literal, so that markup is skimmed
_EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
_FOREIGN = re.compile(f"[{INVISIBLE.pattern[1:-1]}\u0370-\u058f\u2600-\u27bf\U0001f300-\U0001faff]")
_MIXED_SCRIPT = re.compile("[A-Za-z][\u0370-\u058f]|[\u0370-\u058f][A-Za-z]")

NAMES: tuple[str, ...] = (
    "raw_length_log", "length_log", "words_log", "word_length_mean", "upper_share", "digit_share",
    "longest_digits", "long_digit_runs", "sign_share", "exclamations", "exclamation_share",
    "questions_per_word", "questions", "links", "links_per_word", "distinct_links", "longest_link",
    "links_with_query", "emails", "phones", "amounts", "amounts_per_word", "tags", "markup_log",
    "capital_word_share", "distinct_word_share", "lines", "line_share", "quoted_line_share", "ats",
    "hashes", "asterisks", "ellipses", "invisibles", "mixed_script", "leet_share", "spread_words",
    "repeat_share", "emoji", "is_reply", "first_line_length", "number_share", "non_ascii_share",
    *(f"{script}_share" for script in SCRIPTS),
)  # fmt: skip
_LINKS = ("links", "distinct_links", "longest_link", "links_with_query")

Rows = NDArray[np.float32]


class AsWritten(NamedTuple):
    """What only a text as it was written says."""

    raw_length_log: float = 0.0
    tags: float = 0.0
    markup_log: float = 0.0
    quoted_line_share: float = 0.0
    invisibles: float = 0.0
    mixed_script: float = 0.0
    emoji: float = 0.0


def lexical_features(text: str) -> Rows:
    """float32[len(NAMES)], finite, in the order of NAMES, of one text alone."""
    row: Rows = lexical_rows([text], [readable(text)])[0]
    return row


def lexical_rows(written: Sequence[str], plain: Sequence[str]) -> Rows:
    """float32[n, len(NAMES)] of texts as they were written and as a reader sees them.

    Markup, invisible characters and mixed scripts are counted in what was written, everything
    else in the plain text: a disguise must not make a text look like another kind of text.
    """
    return table(written, [counted(characters(part)) for part in chunks(plain)])


def table(written: Sequence[str], parts: Sequence[Columns]) -> Rows:
    """The rows from `counted` parts of the plain texts, in order, and from the written texts."""
    rows = np.zeros((len(written), len(NAMES)), np.float32)
    done = 0
    for part in parts:
        rows[done : done + len(part), _places(COUNTED)] = part
        done += len(part)
    as_written = [_as_written(text[:MAX_CHARACTERS]) for text in written]
    rows[:, _places(AsWritten._fields)] = as_written
    for row, found in enumerate(as_written):
        if found.tags:
            rows[row, _places(_LINKS)] = _links_of_markup(written[row][:MAX_CHARACTERS])
    return rows


@cache
def _places(names: tuple[str, ...]) -> list[int]:
    return [NAMES.index(name) for name in names]


def _as_written(text: str) -> AsWritten:
    found = markup(text)
    quoted, lines = quoted_lines(points(text)) if ">" in text else (0, 0)
    foreign = not text.isascii() and _FOREIGN.search(text) is not None
    return AsWritten(
        raw_length_log=log1p(len(text)),
        tags=found.tags,
        markup_log=log1p(found.characters),
        quoted_line_share=quoted / (1 + lines),
        invisibles=len(INVISIBLE.findall(text)) if foreign else 0,
        mixed_script=len(_MIXED_SCRIPT.findall(text)) if foreign else 0,
        emoji=len(_EMOJI.findall(text)) if foreign else 0,
    )


def _links_of_markup(text: str) -> tuple[int, int, int, int]:
    links = _ADDRESS.findall(text)
    queries = sum("?" in link for link in links)
    return len(links), len(set(links)), max(map(len, links), default=0), queries
