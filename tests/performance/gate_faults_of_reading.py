"""Faults of the reading: what a model cannot see, neither in training nor when it answers.

Each is a context manager that puts a blind part in the place of a seeing one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from pipelines.features.text import extraction, lexical, normalisation, vocabulary
from training import table

_NOTHING = re.compile(r"(?!)")
_NO_WORD = re.compile(r"(?:https?://|www\.)\S+|[^\w\s]")
_OF_SIGNS = (
    "sign_share", "exclamations", "exclamation_share", "questions_per_word", "questions", "links",
    "links_per_word", "distinct_links", "longest_link", "links_with_query", "emails", "amounts",
    "amounts_per_word", "tags", "markup_log", "ats", "hashes", "asterisks", "ellipses", "emoji",
)  # fmt: skip


def blind_to_lookalikes() -> AbstractContextManager[Any]:
    """The table of look-alike letters is empty."""
    return patch.object(normalisation, "_TO_LATIN", {})


@contextmanager
def blind_to_zero_width() -> Iterator[None]:
    """Invisible characters stay in the text, and nobody counts them."""
    with (
        patch.object(normalisation, "_SILENT", _NOTHING),
        patch.object(lexical, "INVISIBLE", _NOTHING),
    ):
        yield


def blind_to_spacing() -> AbstractContextManager[Any]:
    """Lone letters are never joined."""
    return patch.object(vocabulary, "_spread_letters", _finds_nothing)


def blind_to_leetspeak() -> AbstractContextManager[Any]:
    """Digits and signs are never read as letters."""
    return patch.object(vocabulary, "_suspicious_tokens", _finds_nothing)


@contextmanager
def words_alone() -> Iterator[None]:
    """Links and signs are cut out of the text, and their counts are zero."""
    with (
        patch.object(extraction, "readable", _without_signs(normalisation.readable)),
        patch.object(table, "readable", _without_signs(normalisation.readable)),
        patch.object(extraction, "table", _without_counts(lexical.table)),
    ):
        yield


def _finds_nothing(text: object) -> dict[int, list[list[int]]]:
    return {}


def _without_signs(read: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: " ".join(_NO_WORD.sub(" ", read(text)).split())


def _without_counts(count: Callable[..., Any]) -> Callable[..., Any]:
    blank = [lexical.NAMES.index(name) for name in _OF_SIGNS]

    def counted(*texts: Any) -> Any:
        found = count(*texts)
        found[:, blank] = 0.0
        return found

    return counted
