"""The events of the game day: real messages, real accounts' numbers, and what the past says.

Half of the near-duplicate groups of SMS, Turkish SMS and YouTube comments are learnt from, the
other half is the traffic. Each message is given an account of the Instagram set: ham a genuine one,
spam a fake one seven times in ten, so that the numbers help and do not tell. That pairing, the
times and the countries are made up; texts and numbers are not. The campaign is one offer of a
Telegram channel in its many wordings, in a language that nothing here was trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson

from data_contracts.config import Settings
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.account_sets import INSTAGRAM, LabelledAccount, read_accounts
from pipelines.catalogue import read_labelled
from pipelines.enrichment import Enrichment
from pipelines.feature_store.states import MemoryStates, StateStore
from pipelines.features.behaviour.state import BehaviourState
from pipelines.features.surroundings.state import SurroundingsState
from pipelines.near_duplicates import group_near_duplicates, group_related
from pipelines.splits import grouped_folds
from training.stage_sources import media_reader

SETS = ("text_sms_spam_uci", "text_sms_turkish", "text_youtube_spam")
CAMPAIGN_SET = "text_telegram_chinese"
SEED, HALVES = 20_261_130, 2
FAKE_SHARE = 0.7  # of the spam that comes from an account of a kind that is fake
FIRST_DAY, DAYS = datetime(2026, 10, 5, tzinfo=UTC), 21
COUNTRIES = {"en": "GB", "tr": "TR"}
NUMBERS = {
    "followers": "userFollowerCount", "following": "userFollowingCount",
    "posts_so_far": "userMediaCount", "bio_characters": "userBiographyLength",
}  # fmt: skip
FLIPPED_SET = "text_sms_turkish"


def divided(settings: Settings) -> tuple[list[LabelledEvent], list[LabelledEvent]]:
    """Rows to learn from, and rows of the traffic; no near-duplicates across."""
    rows = [row for name in SETS for row in read_labelled(name, settings.data, settings.cache)]
    groups = group_related(rows)
    strata = [(row.dataset, row.label) for row in rows]
    halves = grouped_folds(groups, strata, HALVES, np.random.default_rng(SEED))
    accounts = read_accounts(INSTAGRAM, settings.data)
    found: tuple[list[LabelledEvent], list[LabelledEvent]] = ([], [])
    for row, half, group in zip(rows, halves.tolist(), groups.tolist(), strict=True):
        found[half].append(replace(_carrying(row, accounts), group=f"{row.dataset}-{group}"))
    return found


def campaign(settings: Settings) -> list[Event]:
    """One offer in many wordings, as its senders varied it: of the set's groups of near-duplicate
    spam the one with the most texts."""
    rows = read_labelled(CAMPAIGN_SET, settings.data, settings.cache)
    spam = [row for row in rows if row.is_spam]
    groups = group_near_duplicates([row.event.text for row in spam])
    texts: dict[int, set[str]] = defaultdict(set)
    for group, row in zip(groups.tolist(), spam, strict=True):
        texts[group].add(row.event.text)
    largest = max(sorted(texts), key=lambda group: len(texts[group]))
    accounts = read_accounts(INSTAGRAM, settings.data)
    return [
        _carrying(row, accounts).event
        for group, row in zip(groups.tolist(), spam, strict=True)
        if group == largest
    ]


def with_past(rows: Sequence[LabelledEvent], settings: Settings) -> list[LabelledEvent]:
    """Spread over DAYS, each with what the days before it say."""
    order = np.random.default_rng(SEED).permutation(len(rows))
    step = timedelta(days=DAYS) / max(len(rows), 1)
    times = [FIRST_DAY + place * step for place in range(len(rows))]
    timed = [
        replace(rows[at], event=rows[at].event.model_copy(update={"occurred_at": time}))
        for at, time in zip(order.tolist(), times, strict=True)
    ]
    with media_reader(settings) as media:
        past = enrichment(MemoryStates(), media)
        events = past.enrich_in_order([row.event for row in timed], ())
        return [replace(row, event=event) for row, event in zip(timed, events, strict=True)]


def enrichment(states: StateStore, media: object) -> Enrichment:
    """Both views of the past in one store."""
    return Enrichment(BehaviourState(states), SurroundingsState(states), media)  # type: ignore[arg-type]


def with_flipped_ham(rows: Sequence[LabelledEvent]) -> list[LabelledEvent]:
    """What a poisoned source teaches: the ham of one set is spam."""
    return [replace(row, label="spam") if row.dataset == FLIPPED_SET else row for row in rows]


def write_rows(rows: Sequence[LabelledEvent], path: Path) -> Path:
    """A line an event with its label and group, as `training train --dataset` reads it."""
    with path.open("wb") as file:
        for row in rows:
            fields = row.event.model_dump(mode="json", exclude_defaults=True)
            fields["label"] = row.label
            file.write(orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE))
    return path


def _carrying(row: LabelledEvent, accounts: Sequence[LabelledAccount]) -> LabelledEvent:
    """The message with an account's numbers; always the same one for the same message."""
    rng = np.random.default_rng([SEED, *row.event.event_id.encode()])
    fake = row.is_spam and rng.random() < FAKE_SHARE
    kind = [one for one in accounts if one.is_spam == fake]
    chosen = kind[int(rng.integers(len(kind)))]
    context = {name: chosen.raw[column] for name, column in NUMBERS.items()}
    country = COUNTRIES.get(row.event.language or "", "US")
    event = row.event.model_copy(
        update={
            "account": f"account-{int(rng.integers(900))}-{'f' if fake else 'g'}",
            "context": {**context, "country": country},
        }
    )
    return replace(row, event=event)
