"""The composed sets that benchmarks share: training and test made of disjoint sources.

Even buckets of the real sets become the training, odd ones the test, which also has the recipes
held out of training. What else a model is trained on must be unrelated to the test's sources:
`unrelated_rows` for text sets, `unrelated_images` for images.

`python -m tests.performance.composed_sets` prints what the sets hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from data_contracts.config import Settings, load_settings
from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.enrichment import Enrichment
from pipelines.feature_store.states import MemoryStates
from pipelines.features.behaviour.state import BehaviourState
from pipelines.features.media.base import MediaLimits
from pipelines.features.surroundings.state import SurroundingsState
from pipelines.image_sets import LabelledImage
from pipelines.near_duplicates import group_related
from pipelines.simulation.composition.composing import Composition, Plan, compose
from pipelines.simulation.composition.recipes import HELD_OUT, TRAINING
from pipelines.simulation.composition.sources import (
    BUCKETS,
    Sources,
    TextSource,
    bucket_of,
    read_sources,
)
from tests.performance.quality_parts import Say

SEEDS = (20_260_105, 20_260_119)  # of the training and of the test
TRAINING_PLAN = Plan(
    events=20_000,
    spam_share=0.25,
    ordinary_share=0.2,
    buckets=tuple(range(0, BUCKETS, 2)),
    first_day="2026-01-05",
)
TEST_PLAN = Plan(
    events=8000,
    spam_share=0.2,
    ordinary_share=0.2,
    recipes=TRAINING + HELD_OUT,
    buckets=tuple(range(1, BUCKETS, 2)),
    first_day="2026-01-19",
)


@dataclass(frozen=True)
class ComposedSets:
    """Both compositions, and the sources of the test, which no training may hold."""

    training: Composition
    test: Composition
    test_sources: Sources

    def unrelated_rows(self, rows: Sequence[LabelledEvent]) -> list[LabelledEvent]:
        """The rows of text sets that are no source of the test, nor related to one: no
        near-duplicate, no translation, no other message of the same author or group."""
        sources = [_row(source) for source in self.test_sources.texts]
        groups = group_related([*sources, *rows])
        of_test = np.isin(groups, groups[: len(sources)])[len(sources) :]
        return [row for row, held in zip(rows, of_test, strict=True) if not held]

    def unrelated_images(self, images: Iterable[LabelledImage]) -> list[LabelledImage]:
        """The images of the image sets whose group is not in a bucket of the test."""
        return [image for image in images if bucket_of(image.group) not in TEST_PLAN.buckets]


def composed_sets(settings: Settings, say: Say) -> ComposedSets:
    """Both sets, not enriched; their media are written under the media root."""
    sources = read_sources(settings.data, settings.cache, say)
    training, test = (
        compose(sources, plan, np.random.default_rng(seed), say)
        for plan, seed in zip((TRAINING_PLAN, TEST_PLAN), SEEDS, strict=True)
    )
    for composition in (training, test):
        composition.write_media(settings.media_root)
    return ComposedSets(training, test, sources.within(TEST_PLAN.buckets))


def enriched_sets(settings: Settings, say: Say) -> ComposedSets:
    """Both sets with what the past says of each event; each begins without any past."""
    sets = composed_sets(settings, say)
    return ComposedSets(
        _enriched(sets.training, settings), _enriched(sets.test, settings), sets.test_sources
    )


def _enriched(composition: Composition, settings: Settings) -> Composition:
    from pipelines.features.media.reader import BoundedMediaReader

    media = BoundedMediaReader(settings.media_root, MediaLimits())
    behaviour = BehaviourState(MemoryStates())
    return composition.enriched(Enrichment(behaviour, SurroundingsState(MemoryStates()), media))


def _row(source: TextSource) -> LabelledEvent:
    event = Event(event_id=source.event_id, text=source.text, language=source.language)
    return LabelledEvent(event, "spam" if source.is_spam else "ham", "source", source.group)


def _shown(name: str, composition: Composition, say: Say) -> None:
    say(f"{name}: {len(composition.events)} events, {len(composition.actions)} actions, "
        f"{len(composition.media)} media files")  # fmt: skip
    counts = Counter((composition.labels[e], name) for e, name in composition.recipes.items())
    for (label, recipe), count in sorted(counts.items()):
        held = " (held out)" if recipe in HELD_OUT and label == "spam" else ""
        say(f"  {label:5s}{recipe + held:28s}{count:6d}")
    ham = [e for e, label in composition.labels.items() if label == "ham"]
    carried = Counter(signal for e in ham for signal in composition.signals[e])
    for signal, count in carried.most_common():
        say(f"  ham that carries {signal:17s}{count / len(ham):6.3f}")


if __name__ == "__main__":
    found = composed_sets(load_settings(), print)
    _shown("training", found.training, print)
    _shown("test", found.test, print)
