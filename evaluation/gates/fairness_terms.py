"""Which group a text names, and how it is written: by word lists, where no column says it.

The lists and their sources are in identity_terms.yaml. They find words, not people: a text that
names a group is not by one of its members, and a mark of a dialect does not prove its speaker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TERMS = Path(__file__).with_name("identity_terms.yaml")
UNMARKED = "unmarked"  # English without a mark of the dialect: what its gap is measured against
NO_GROUP = "no listed group"  # a text in which no list finds a term
WITHOUT_SPACES = ("zh", "ja", "th")


def identity_of(text: str, language: str) -> str | None:
    """The class of the first identity term, None without one or without a list.

    >>> identity_of("Jim is a kind Muslim.", "en"), identity_of("see you at six", "en")
    ('Muslims', None)
    """
    return _first(_identities(language), text)


def dialect_of(text: str, language: str) -> str | None:
    """The marked dialect, UNMARKED for other texts of a language with a list, else None.

    >>> dialect_of("he finna go", "en"), dialect_of("he is going", "en"), dialect_of("er", "de")
    ('african-american-english', 'unmarked', None)
    """
    marks = _dialects(language)
    return (_first(marks, text) or UNMARKED) if marks else None


def named(identity: str) -> str:
    """One name for what sets call differently.

    >>> named("jewish people"), named("women")
    ('Jews', 'women')
    """
    names: Mapping[str, str] = _lists()["same"]
    return names.get(identity, identity)


def _first(patterns: Mapping[str, re.Pattern[str]], text: str) -> str | None:
    return next((name for name, pattern in patterns.items() if pattern.search(text)), None)


@cache
def _identities(language: str) -> Mapping[str, re.Pattern[str]]:
    classes: Mapping[str, list[str]] = _lists()["identity"].get(language, {})
    spaced = language not in WITHOUT_SPACES
    return {
        name: re.compile(_words(terms, spaced), re.IGNORECASE) for name, terms in classes.items()
    }


@cache
def _dialects(language: str) -> Mapping[str, re.Pattern[str]]:
    marks: Mapping[str, list[str]] = _lists()["dialect"].get(language, {})
    return {name: _compiled("|".join(found)) for name, found in marks.items()}


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _words(terms: list[str], spaced: bool) -> str:
    """Whole words, or their beginnings with `*`; anywhere in scripts without spaces."""
    if not spaced:
        return "|".join(map(re.escape, terms))
    ends = (re.escape(term.rstrip("*")) + ("" if term.endswith("*") else r"\b") for term in terms)
    return rf"\b(?:{'|'.join(ends)})"


@cache
def _lists() -> Mapping[str, Any]:
    lists: Mapping[str, Any] = yaml.safe_load(TERMS.read_text(encoding="utf-8"))
    return lists
