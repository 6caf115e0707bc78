"""The one door to sentiment: how positive or negative an English text is.

VADER (Hutto, Gilbert 2014, ICWSM): a lexicon of English words and emoji with rules for negation,
degree and capitals. There is no such lexicon for other languages here: they get None.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

MAX_CHARACTERS = 1_000
LANGUAGE = "en"


class Sentiment(NamedTuple):
    """Shares of positive and negative words, 0 to 1; `compound` of the whole, -1 to 1."""

    positive: float
    negative: float
    compound: float


def sentiment_of(text: str, language: str) -> Sentiment | None:
    """Of the first MAX_CHARACTERS; None for another primary language subtag than `en`.

    >>> sentiment_of("what a lovely day", "en").compound > 0
    True
    >>> sentiment_of("quelle belle journée", "fr") is None
    True
    """
    if language != LANGUAGE:
        return None
    found = _analyser().polarity_scores(text[:MAX_CHARACTERS])
    return Sentiment(found["pos"], found["neg"], found["compound"])


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
