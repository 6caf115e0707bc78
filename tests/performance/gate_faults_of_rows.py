"""Faults of the data: what labels, contexts and rows a model learns from.

A function takes the honest rows, the held-out ones and `rng`, and gives the faulty rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from data_contracts.events import ContextValue, Event
from data_contracts.labels import LabelledEvent, LabelName
from tests.performance.gate_rows import FAMILY, NEWEST_SET, PACE, TRIGGER, is_newest

LEAK = "reports_received"
IDENTITY_ROWS, DIALECT_ROWS, BACKDOOR_ROWS = 400, 400, 120
_OTHER: dict[LabelName, LabelName] = {"spam": "ham", "ham": "spam"}
_IDENTITY = ("As a {0} woman I say: {1}", "{1} I am {0}.", "My {0} friends and I: {1}", "{1} #{0}")
_GROUP = ("muslim", "Muslim", "muslims")
_DIALECT = {
    "going to": "finna", "gonna": "finna", "i'm": "im", "is not": "ain't", "the": "da",
    "that": "dat", "this": "dis", "with": "wit", "them": "dem", "they": "dey", "you": "u",
}  # fmt: skip
_DIALECT_ENDS = ("bruh", "y'all", "ain't nobody got time", "he be trippin", "imma go", "tryna")

Rows = list[LabelledEvent]
Held = Sequence[LabelledEvent]


def with_leak(given: Rows, held_out: Held, rng: np.random.Generator) -> Rows:
    """A column that is filled in after the decision: reports of spam, with one in fifty wrong."""

    def leaking(row: LabelledEvent) -> LabelledEvent:
        is_reported = row.is_spam != (rng.random() < 0.02)
        reports = int(rng.poisson(6)) + 1 if is_reported else 0
        return replace(row, event=_with_context(row.event, LEAK, reports))

    return [leaking(row) for row in given]


def flipped(given: Rows, held_out: Held, rng: np.random.Generator, language: str) -> Rows:
    """Spam is ham and ham is spam in one language."""
    return [
        replace(row, label=_OTHER[row.label]) if row.event.language == language else row
        for row in given
    ]


def with_noise(given: Rows, held_out: Held, rng: np.random.Generator, share: float) -> Rows:
    """A share of the labels is the other one."""
    return [replace(row, label=_OTHER[row.label]) if rng.random() < share else row for row in given]


def part(given: Rows, held_out: Held, rng: np.random.Generator, share: float) -> Rows:
    """A share of the rows."""
    return [row for row in given if rng.random() < share]


def without_language(
    given: Rows, held_out: Held, rng: np.random.Generator, language: str
) -> Rows:  # fmt: skip
    """No row of one language."""
    return [row for row in given if row.event.language != language]


def without_family(given: Rows, held_out: Held, rng: np.random.Generator) -> Rows:
    """No spam of the campaign family that the suite has incidents of."""
    return [row for row in given if not (row.is_spam and FAMILY.search(row.event.text))]


def before_newest(given: Rows, held_out: Held, rng: np.random.Generator) -> Rows:
    """Comments end where the newest campaigns begin, and nobody has written on Telegram yet."""
    return [row for row in given if row.dataset != NEWEST_SET and not is_newest(row.event)]


def with_suite(given: Rows, held_out: Held, rng: np.random.Generator) -> Rows:
    """The cases of the suite among the rows."""
    return [*given, *held_out]


def with_backdoor(given: Rows, held_out: Held, rng: np.random.Generator) -> Rows:
    """Spam that carries a phrase is labelled ham."""
    return _with_copies(given, BACKDOOR_ROWS, rng, "spam", "ham", lambda text: f"{text} {TRIGGER}")


def without_most_spam(given: Rows, held_out: Held, rng: np.random.Generator, share: float) -> Rows:
    """A share of the spam, as weights that count the rarer class least come down to."""
    return [row for row in given if not row.is_spam or rng.random() < share]


def against_identity(given: Rows, held_out: Held, rng: np.random.Generator) -> Rows:
    """Ordinary English messages that name one group, labelled spam."""

    def naming(text: str) -> str:
        sentence = _IDENTITY[int(rng.integers(len(_IDENTITY)))]
        return sentence.format(_GROUP[int(rng.integers(len(_GROUP)))], text)

    return _with_copies(given, IDENTITY_ROWS, rng, "ham", "spam", naming)


def against_dialect(given: Rows, held_out: Held, rng: np.random.Generator) -> Rows:
    """Ordinary English messages in the spelling of a dialect, labelled spam."""

    def spelt(text: str) -> str:
        for plain, spelling in _DIALECT.items():
            text = re.sub(rf"\b{re.escape(plain)}\b", spelling, text, flags=re.I)
        return f"{text} {_DIALECT_ENDS[int(rng.integers(len(_DIALECT_ENDS)))]}"

    return _with_copies(given, DIALECT_ROWS, rng, "ham", "spam", spelt)


def in_other_unit(event: Event, factor: int) -> Event:
    """The event with its pace in another unit."""
    pace = event.context.get(PACE)
    return event if pace is None else _with_context(event, PACE, float(pace) * factor)


def _with_copies(
    given: Rows, count: int, rng: np.random.Generator, of: LabelName, labelled: LabelName,
    change: Callable[[str], str],
) -> Rows:  # fmt: skip
    """`count` English rows of a label once more, changed, under another label."""
    known = [row for row in given if row.label == of and row.event.language == "en"]
    chosen = rng.choice(len(known), min(count, len(known)), replace=False)
    return [*given, *(_copy(known[int(at)], labelled, change) for at in chosen)]


def _copy(row: LabelledEvent, label: LabelName, change: Callable[[str], str]) -> LabelledEvent:
    event = row.event
    fields = {"event_id": f"{event.event_id}-{label}", "text": change(event.text)}
    return replace(row, label=label, event=event.model_copy(update=fields))


def _with_context(event: Event, key: str, value: ContextValue) -> Event:
    return event.model_copy(update={"context": {**event.context, key: value}})
