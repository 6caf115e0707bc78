"""The traffic of `bench-serving`: the mix, events that no model saw, and the ensemble it meets.

MIX is the share of each kind of event, and of every kind SPAM_SHARE is spam. Texts are those of
the catalogue's five sets, each as often as the others; pictures, clips and account actions come
from composed traffic of the real sets (what is not there is made up, and said to be). Sources are
in buckets, near-duplicates together (`pipelines.simulation.composition.sources`): the ensemble
learns from even buckets, the traffic is drawn from odd ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from data_contracts.config import Settings
from data_contracts.events import ENRICHED_PREFIXES, Event
from data_contracts.labels import LabelledEvent
from pipelines.catalogue import read_labelled
from pipelines.features.media.base import MediaReader
from pipelines.near_duplicates import group_related
from pipelines.simulation.composition.composing import Composition, Plan
from pipelines.simulation.composition.recipes import HELD_OUT, TRAINING
from pipelines.simulation.composition.sources import BUCKETS, Sources, bucket_of, read_sources
from tests.all_modalities import composed_of, small_ensemble
from tests.performance.http_shots import EVENT_ID, Booleans, Integers, post
from tests.performance.serving_report import say
from training.stage_sources import media_reader

MIX: Mapping[str, float] = {"text": 0.80, "image": 0.12, "video": 0.03, "account": 0.05}
SPAM_SHARE, SEED = 0.1, 20_260_105
TEXT_SETS = (
    "text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam",
    "text_spamassassin",
)  # fmt: skip
TRAINED_ON_A_SET, COMPOSED_TRAINING, COMPOSED_TRAFFIC = 1000, 2500, 2500
LEARNT, DRAWN = tuple(range(0, BUCKETS, 2)), tuple(range(1, BUCKETS, 2))
PREDICT = "/v1/models/spam:predict"
Pool = list[LabelledEvent]


@dataclass(frozen=True)
class Mix:
    """n events in the order in which they come; rows of one group are no independent evidence."""

    events: tuple[Event, ...]
    kinds: NDArray[np.str_]
    spam: Booleans
    groups: Integers

    def requests(self, priority: str | None = None) -> tuple[bytes, ...]:
        """One event a request. Without `priority` the gateway decides: interactive."""
        headers = {"x_weir_priority": priority} if priority else {}
        return tuple(_request(event, headers) for event in self.events)

    def without_past(self) -> Mix:
        """The same events as the platform sends them: what the past says is the server's to ask."""
        return replace(self, events=tuple(map(_without_past, self.events)))

    def described(self) -> dict[str, object]:
        """What a reader needs to know of it."""
        return {
            "events": len(self.events), "mix": dict(MIX), "spam_share": SPAM_SHARE,
            "media_files": len({media.sha256 for event in self.events for media in event.media}),
        }  # fmt: skip


def made_mix(events: int, own: Settings, settings: Settings, home: Path) -> tuple[Mix, Path]:
    """The traffic, its media under the media root of `settings`; and the artefact's folder.

    Data and encoder are those of `own`.
    """
    sources = read_sources(own.data, own.cache, say)
    learnt, unseen = _texts(sources, own)
    with media_reader(settings) as media:
        plan = Plan(events=COMPOSED_TRAINING, spam_share=0.3, buckets=LEARNT, days=6)
        training = composed_of(sources, plan, settings, media, SEED)
        rows = [*_few_of_each(learnt), *training.labelled()]
        say(f"training on {len(rows)} events")
        model = home / "model"
        small_ensemble(settings, rows, media, home).save(model)
        traffic = _traffic(settings, media, sources)
    say(f"composed {len(traffic.events)} events; their media: {len(traffic.media)} files")
    return _drawn(events, {**_by_content(traffic), "text": unseen}), model


def _texts(sources: Sources, own: Settings) -> tuple[Pool, Pool]:
    """Rows of the five sets in even and in odd buckets; mails are no source, and have their own."""
    bucket = {source.event_id: source.bucket for source in sources.texts}
    rows: Pool = []
    for name in TEXT_SETS:
        found = read_labelled(name, own.data, own.cache)
        if any(row.event.event_id not in bucket for row in found):
            groups = group_related(found).tolist()
            ids = [row.event.event_id for row in found]
            first = dict(zip(reversed(groups), reversed(ids), strict=True))
            bucket |= {one: bucket_of(first[group]) for one, group in zip(ids, groups, strict=True)}
        rows += found
    sides = [bucket[row.event.event_id] in LEARNT for row in rows]
    learnt = [row for row, side in zip(rows, sides, strict=True) if side]
    return learnt, [row for row, side in zip(rows, sides, strict=True) if not side]


def _few_of_each(learnt: Pool) -> Pool:
    rng = np.random.default_rng(SEED)
    chosen: Pool = []
    for name in TEXT_SETS:
        own = [row for row in learnt if row.dataset == name]
        chosen += [own[at] for at in rng.permutation(len(own))[:TRAINED_ON_A_SET]]
    return chosen


def _traffic(settings: Settings, media: MediaReader, sources: Sources) -> Composition:
    plan = Plan(
        events=COMPOSED_TRAFFIC, spam_share=0.3, recipes=TRAINING + HELD_OUT, buckets=DRAWN, days=6,
        first_day="2026-01-19",
    )  # fmt: skip
    return composed_of(sources, plan, settings, media, SEED + 1)


def _by_content(traffic: Composition) -> dict[str, Pool]:
    """Rows with video, with pictures alone, and account actions: those without, less their text."""
    pools: dict[str, Pool] = {kind: [] for kind in MIX if kind != "text"}
    for row in traffic.labelled():
        kinds = {one.kind for one in row.event.media}
        kind = "video" if "video" in kinds else "image" if kinds else "account"
        event = row.event if kinds else row.event.model_copy(update={"text": ""})
        pools[kind].append(LabelledEvent(event, row.label, row.dataset, row.group))
    return pools


def _drawn(events: int, pools: Mapping[str, Pool]) -> Mix:
    """As MIX and SPAM_SHARE say. A pool is gone through in random order, again if it is small."""
    rng = np.random.default_rng(SEED)
    kinds = rng.choice(list(MIX), events, p=list(MIX.values()))
    spam = rng.random(events) < SPAM_SHARE
    sets = rng.choice(TEXT_SETS, events)
    rows: list[LabelledEvent] = [LabelledEvent(Event(event_id="none", text=""), "ham", "")] * events
    for kind, pool in pools.items():
        for name in TEXT_SETS if kind == "text" else (None,):
            for is_spam in (False, True):
                wanted = (kinds == kind) & (spam == is_spam)
                wanted &= (sets == name) if name else True
                own = [
                    row for row in pool if row.is_spam == is_spam and name in (None, row.dataset)
                ]
                for at, row in zip(np.flatnonzero(wanted), _forever(own, rng), strict=False):
                    rows[at] = row
    placed = tuple(row.event.model_copy(update={"event_id": EVENT_ID.format(0)}) for row in rows)
    return Mix(placed, kinds, spam, group_related(rows))


def _forever(pool: Sequence[LabelledEvent], rng: np.random.Generator) -> Iterator[LabelledEvent]:
    while True:
        yield from (pool[at] for at in rng.permutation(len(pool)))


def _without_past(event: Event) -> Event:
    context = {
        key: value for key, value in event.context.items() if not key.startswith(ENRICHED_PREFIXES)
    }
    return event.model_copy(update={"context": context})


def _request(event: Event, headers: Mapping[str, str]) -> bytes:
    stored = event.model_dump(mode="json", exclude_defaults=True)
    return post(PREDICT, orjson.dumps({"instances": [stored]}), **headers)
