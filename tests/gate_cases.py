"""Small suites and hand-made models for the tests of gates: no dataset, no training."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from data_contracts.verdicts import Assessment, Stage
from evaluation.gates.suite import Suite, suite_of

SPAM_WORDS = {
    "en": "claim your free holiday voucher today",
    "tr": "hemen kazan bedava bahis bonusu",
}
HAM_WORDS = {"en": "shall we meet for lunch tomorrow", "tr": "yarin aksam bize gelir misin"}


def labelled(spam: int, ham: int, language: str = "en") -> list[LabelledEvent]:
    """`spam` and `ham` messages of a language, each with words of its own."""
    return [
        LabelledEvent(
            event=Event(
                event_id=f"{label}-{language}-{number}",
                text=f"{words[language]} {_own_words(label + language, number)}",
                language=language,
            ),
            label="spam" if label == "spam" else "ham",
            dataset=f"made_{language}",
        )
        for label, count, words in (("spam", spam, SPAM_WORDS), ("ham", ham, HAM_WORDS))
        for number in range(count)
    ]


def two_languages(spam: int = 40, ham: int = 80) -> Suite:
    """So many messages of each label in English and in Turkish."""
    return suite_of([*labelled(spam, ham, "en"), *labelled(spam, ham, "tr")])


@dataclass(frozen=True)
class ByRule:
    """A model that scores each event by a function and blocks at 0.5."""

    score: Callable[[Event], float]

    def assess(self, events: Sequence[Event]) -> list[Assessment]:
        return [_assessment(self.score(event)) for event in events]


def is_spam(event: Event) -> bool:
    return event.event_id.startswith("spam")


def noise(event: Event) -> float:
    """A stable number in [0, 1) that depends on the id alone."""
    return (zlib.crc32(event.event_id.encode()) * 2_654_435_761 % 2**32) / 2**32


PERFECT = ByRule(lambda event: 0.9 if is_spam(event) else 0.1)
RANDOM = ByRule(noise)
BLOCKS_ALL = ByRule(lambda event: 0.9)
SILENT = ByRule(lambda event: 0.4 if is_spam(event) else 0.1)
LOW_THRESHOLD = ByRule(lambda event: 0.9 if is_spam(event) else 0.1 + 0.45 * noise(event))
ENGLISH_ONLY = ByRule(lambda event: 0.9 if is_spam(event) and event.language == "en" else 0.1)
BLOCKS_TURKISH = ByRule(lambda event: 0.9 if is_spam(event) or event.language == "tr" else 0.1)
FRAGILE = ByRule(
    lambda event: 0.9 if any(words in event.text for words in SPAM_WORDS.values()) else 0.1
)


def _own_words(key: str, number: int) -> str:
    """Letters that differ from message to message, so that no two are near-duplicates."""
    alphabet = "bcdfghjklmnprstvyz"
    state = zlib.crc32(f"{key}{number}".encode())
    letters = []
    for _ in range(60):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        letters.append(alphabet[(state >> 16) % len(alphabet)])
    return " ".join("".join(letters[start : start + 6]) for start in range(0, 60, 6))


def _assessment(score: float) -> Assessment:
    return Assessment(
        score=score,
        action="block" if score >= 0.5 else "allow",
        reasons=(),
        stages=(Stage("rule", ran=True, score=score),),
    )
