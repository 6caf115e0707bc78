"""Modalities that exist for tests only: numbers in the event's context, read by real extractors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import orjson
from numpy.typing import NDArray

from data_contracts.events import Event
from pipelines.features.base import Extractor, Features
from pipelines.features.media.base import DecodedImage, DecodedVideo, MediaReader, Unreadable
from training.specialists.base import StageRows


class NoMedia:
    """A reader of media for events that have none."""

    def image(self, reference: object) -> DecodedImage | Unreadable:
        return Unreadable("media_missing")

    def video(self, reference: object) -> DecodedVideo | Unreadable:
        return Unreadable("media_missing")

    def content(self, reference: object) -> bytes | Unreadable:
        return Unreadable("media_missing")


class _Numbers(Extractor):
    """Reads `context[name]` for each of its names; present where the first one is there."""

    assets: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = ()
    families: ClassVar[Mapping[str, str]] = {}
    dimensions: ClassVar[int] = 0

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None:
        self.read = 0

    def is_present(self, event: Event) -> bool:
        return self.names[0] in event.context

    def extract(self, event: Event) -> Features:
        self.read += 1
        columns = [float(event.context.get(name, np.nan)) for name in self.names]  # type: ignore[arg-type]
        return Features(np.array(columns, np.float32), np.zeros(0, np.float32))


class SoundExtractor(_Numbers):
    names: ClassVar[tuple[str, ...]] = ("surroundings.pitch", "surroundings.loudness")
    families: ClassVar[Mapping[str, str]] = dict.fromkeys(names, "sound")


class SmellExtractor(_Numbers):
    names: ClassVar[tuple[str, ...]] = ("behaviour.sweetness",)
    families: ClassVar[Mapping[str, str]] = dict.fromkeys(names, "smell")


class LoudnessSpecialist:
    """A specialist of its own kind: log-odds grow with one column."""

    def __init__(self, slope: float) -> None:
        self._slope = slope

    def score(self, columns: NDArray[np.float32], embedding: NDArray[np.float32]) -> float:
        return self._slope * float(np.nan_to_num(columns[1]))

    def files(self) -> Mapping[str, bytes]:
        return {"slope.json": orjson.dumps(self._slope)}


class LoudnessFamily:
    """Its training: the direction in which spam is louder."""

    def fit(
        self,
        rows: StageRows,
        names: Sequence[str],
        parameters: Mapping[str, float | int],
        *,
        seed: int,
    ) -> LoudnessSpecialist:
        spam = rows.targets == 1
        louder = np.nanmean(rows.columns[spam, 1]) - np.nanmean(rows.columns[~spam, 1])
        return LoudnessSpecialist(float(np.sign(louder)))

    def load(self, files: Mapping[str, bytes]) -> LoudnessSpecialist:
        return LoudnessSpecialist(orjson.loads(files["slope.json"]))
