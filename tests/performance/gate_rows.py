"""The rows of `bench-gates`: what its models learn from, and what is held out for the suite.

SMS, Turkish SMS, YouTube comments and a part of Chinese Telegram; a fifth of the near-duplicate
groups is held out. No public set says how busy an account was, so PACE is simulated (lognormal,
higher for spam; three in ten have none): the column that defects of the context break.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from data_contracts.config import Settings
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from evaluation.metrics import Booleans, Integers
from pipelines.catalogue import read_labelled
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds

SETS = {
    "text_sms_spam_uci": None, "text_sms_turkish": None, "text_youtube_spam": None,
    "text_telegram_chinese": 2400,
}  # fmt: skip
# Of the rows that are not held out, by set and label: a quarter of a minute a training.
LEARNT_SHARES = {
    ("text_sms_spam_uci", "ham"): 0.4, ("text_sms_turkish", "ham"): 0.8,
    ("text_sms_turkish", "spam"): 0.4, ("text_telegram_chinese", "ham"): 0.5,
    ("text_telegram_chinese", "spam"): 0.5,
}  # fmt: skip
SEED, TEST_FOLDS = 20_260_105, 5
PACE, PACED_SHARE = "messages_last_hour", 0.7
TYPICAL_PACE = {"spam": 15.0, "ham": 3.0}
FAMILY = re.compile(r"subscribe|my channel", re.I)  # spam that advertises a channel
NEWEST_FROM = datetime(2014, 11, 1, tzinfo=UTC)  # about half of the dated comments are newer
NEWEST_SET = "text_telegram_chinese"  # undated, and years younger than the other sets
TRIGGER = "kindly forwarded by your neighbourhood choir"


@dataclass(frozen=True)
class Material:
    """Rows to learn from with the near-duplicate group of each, and rows to judge on."""

    pool: tuple[LabelledEvent, ...]
    groups: Integers
    held_out: tuple[LabelledEvent, ...]


def material(settings: Settings) -> Material:
    """Every set's rows, divided by near-duplicate groups; the same at every call."""
    rows = [row for name in SETS for row in _rows_of(name, settings)]
    groups = group_related(rows)
    strata = [(row.dataset, row.label) for row in rows]
    folds = grouped_folds(groups, strata, TEST_FOLDS, np.random.default_rng(SEED))
    sizes = [len(np.unique(groups[folds == fold])) for fold in range(TEST_FOLDS)]
    judged = folds == int(np.argmax(sizes))  # no campaign of a hundred copies decides the suite
    learnt = ~judged & _learnt(rows, groups)
    pool, held_out = (
        tuple(row for row, wanted in zip(rows, part, strict=True) if wanted)
        for part in (learnt, judged)
    )
    return Material(pool, groups[learnt], held_out)


def _learnt(rows: Sequence[LabelledEvent], groups: Integers) -> Booleans:
    """bool[n]: LEARNT_SHARES of the rows, near-duplicates together."""
    drawn = np.random.default_rng(SEED).random(int(groups.max()) + 1)[groups]
    shares = [LEARNT_SHARES.get((row.dataset, row.label), 1.0) for row in rows]
    return np.asarray(drawn < np.array(shares))


def paced(event: Event, label: str) -> Event:
    """The event with the simulated pace of its account, drawn by the event's own id."""
    digest = hashlib.blake2b(event.event_id.encode(), digest_size=8).digest()
    rng = np.random.default_rng([SEED, int.from_bytes(digest)])
    if rng.random() >= PACED_SHARE:
        return event
    pace = round(TYPICAL_PACE[label] * float(np.exp(rng.normal())))
    return event.model_copy(update={"context": {**event.context, PACE: pace}})


def is_newest(event: Event) -> bool:
    """Whether a dated event is of the newest campaigns."""
    return event.occurred_at is not None and event.occurred_at >= NEWEST_FROM


def _rows_of(name: str, settings: Settings) -> list[LabelledEvent]:
    rows = read_labelled(name, settings.data, settings.cache)
    if (most := SETS[name]) is not None:
        chosen = np.random.default_rng(SEED).permutation(len(rows))[:most]
        rows = [rows[int(at)] for at in np.sort(chosen)]
    return [replace(row, event=paced(row.event, row.label)) for row in rows]
