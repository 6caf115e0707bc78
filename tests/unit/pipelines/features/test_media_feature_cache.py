"""Features of a file are computed once; another extractor, asset or limit never reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from data_contracts.events import Event, MediaReference
from pipelines.features.base import Features, no_features
from pipelines.features.media.base import MediaLimits
from pipelines.features.media_feature_cache import CachedExtractor, MediaFeatureCache


class Counting:
    """Counts how often it was asked; its columns say for which file."""

    assets: ClassVar[tuple[str, ...]] = ("opennsfw",)
    names: ClassVar[tuple[str, ...]] = ("first", "unknown")
    families: ClassVar[Mapping[str, str]] = {"first": "made", "unknown": "made"}
    dimensions: ClassVar[int] = 3

    def __init__(self) -> None:
        self.asked = 0

    def is_present(self, event: Event) -> bool:
        return bool(event.media)

    def extract(self, event: Event) -> Features:
        self.asked += 1
        number = float(int(event.media[0].sha256[:4], 16))
        columns, embedding = np.array([number, np.nan]), np.array([0.1, -2.0, np.inf])
        return Features(
            columns.astype(np.float32), embedding.astype(np.float32), ("image_cut",), "łotto"
        )


class Blind(Counting):
    def extract(self, event: Event) -> Features:
        self.asked += 1
        return no_features(2, 3, "image_truncated")


def event_of(digit: str) -> Event:
    reference = MediaReference(kind="image", sha256=digit * 64, bytes="")
    return Event(event_id="e", text="a", media=(reference,))


def test_features_are_computed_once_and_come_back_bit_for_bit(tmp_path: Path) -> None:
    extractor = Counting()
    with MediaFeatureCache(tmp_path / "new") as cache:
        once = CachedExtractor(extractor, cache).extract(event_of("a"))
    with MediaFeatureCache(tmp_path / "new") as cache:
        again = CachedExtractor(extractor, cache).extract(event_of("a"))
        CachedExtractor(extractor, cache).extract(event_of("b"))
    assert extractor.asked == 2
    assert once.columns.tobytes() == again.columns.tobytes()
    assert once.embedding.tobytes() == again.embedding.tobytes()
    assert (again.notes, again.text) == (("image_cut",), "łotto")


def test_other_limits_or_another_revision_read_nothing_of_the_first(tmp_path: Path) -> None:
    class Revised(Counting):
        revision = 2

    extractor, revised = Counting(), Revised()
    with MediaFeatureCache(tmp_path) as cache:
        CachedExtractor(extractor, cache).extract(event_of("a"))
        CachedExtractor(extractor, cache, MediaLimits(image_side=64)).extract(event_of("a"))
        CachedExtractor(revised, cache).extract(event_of("a"))
    assert (extractor.asked, revised.asked) == (2, 1)


def test_what_gave_no_columns_is_tried_again(tmp_path: Path) -> None:
    extractor = Blind()
    with MediaFeatureCache(tmp_path) as cache:
        for _ in range(2):
            CachedExtractor(extractor, cache).extract(event_of("a"))
    assert extractor.asked == 2


def test_it_looks_like_what_it_wraps_and_works_without_a_folder(tmp_path: Path) -> None:
    wrapped = CachedExtractor(Counting(), MediaFeatureCache(tmp_path / "never"))
    assert (wrapped.names, wrapped.dimensions) == (Counting.names, 3)
    assert wrapped.is_present(event_of("a"))
    assert wrapped.extract(event_of("a")).text == "łotto"
    assert not (tmp_path / "never").exists()
