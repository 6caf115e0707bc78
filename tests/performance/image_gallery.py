"""The labelled images with the features of every image stage, computed once and kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Settings
from data_contracts.errors import MissingPart
from data_contracts.events import Event
from evaluation.metrics import Booleans, Integers
from pipelines.assets import asset_file
from pipelines.features.base import Extractor, Features
from pipelines.features.image.extraction import ImageExtractor
from pipelines.features.image.objects import ObjectsExtractor
from pipelines.features.image.ocr import NOT_INSTALLED, OcrExtractor
from pipelines.features.media.base import MediaReader
from pipelines.features.media.reader import BoundedMediaReader
from pipelines.features.media_feature_cache import FOLDER, CachedExtractor, MediaFeatureCache
from pipelines.image_sets import LabelledImage, read_images
from tests.performance.quality_parts import Say

STAGES: dict[str, type[Extractor]] = {
    "image": ImageExtractor,
    "objects": ObjectsExtractor,
    "ocr": OcrExtractor,
}
TOLD_EVERY = 200
TIMED_IMAGES = 90


@dataclass(frozen=True)
class StageFeatures:
    """`columns` float32[n, len(families)], `embeddings` float32[n, d].

    `families` gives the family of each column by its name, in the order of the columns.
    """

    families: Mapping[str, str]
    columns: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    def where(self, chosen: Booleans) -> StageFeatures:
        return StageFeatures(self.families, self.columns[chosen], self.embeddings[chosen])


@dataclass(frozen=True)
class Gallery:
    """n images: `spam` bool[n], `sources` str[n], near-duplicate `groups` int64[n], what they say
    (`texts`), and the features of each stage by its name."""

    spam: Booleans
    sources: NDArray[np.str_]
    groups: Integers
    texts: NDArray[np.object_]
    stages: dict[str, StageFeatures]

    def where(self, chosen: Booleans) -> Gallery:
        stages = {name: stage.where(chosen) for name, stage in self.stages.items()}
        parts = (self.spam, self.sources, self.groups, self.texts)
        return Gallery(*(part[chosen] for part in parts), stages)


def read_gallery(settings: Settings, say: Say) -> Gallery:
    """MissingPart where the images, a model or Tesseract's trained data are absent."""
    images = list(read_images(settings.data))
    with BoundedMediaReader(None) as media, MediaFeatureCache(settings.cache / FOLDER) as cache:
        stages, texts = {}, [""]
        for name, kind in STAGES.items():
            extractor = CachedExtractor(_made(kind, settings, media), cache)
            found = list(_extracted(name, extractor, images, say))
            stages[name] = _stacked(kind, found)
            texts = [features.text for features in found]
    return Gallery(
        spam=np.array([image.is_spam for image in images]),
        sources=np.array([image.source for image in images]),
        groups=np.unique([image.group for image in images], return_inverse=True)[1],
        texts=np.array(texts, dtype=object),
        stages=stages,
    )


def milliseconds_by_stage(settings: Settings, seed: int) -> dict[str, NDArray[np.float64]]:
    """CPU of this process for each of TIMED_IMAGES drawn images; decoding is not counted."""
    images = list(read_images(settings.data))
    drawn = np.random.default_rng(seed).choice(len(images), TIMED_IMAGES, replace=False)
    with BoundedMediaReader(None) as media:
        return {
            name: _timed(_made(kind, settings, media), [images[row] for row in drawn])
            for name, kind in STAGES.items()
        }


def _timed(extractor: Extractor, images: list[LabelledImage]) -> NDArray[np.float64]:
    extractor.extract(_event(images[0]))  # loads the models
    spent = []
    for image in images:
        before = time.process_time()
        extractor.extract(_event(image))
        spent.append(1000 * (time.process_time() - before))
    return np.array(spent)


def _extracted(
    name: str, extractor: Extractor, images: list[LabelledImage], say: Say
) -> Iterator[Features]:
    for number, image in enumerate(images, 1):
        features = extractor.extract(_event(image))
        if NOT_INSTALLED in features.notes:
            raise MissingPart("Tesseract's trained data are absent; install tesseract-ocr-eng")
        yield features
        if number % TOLD_EVERY == 0:
            say(f"{name}: {number} of {len(images)} images read")


def _stacked(kind: type[Extractor], found: list[Features]) -> StageFeatures:
    columns = np.array([features.columns for features in found])
    families = {name: kind.families[name] for name in kind.names}
    return StageFeatures(families, columns, np.array([features.embedding for features in found]))


def _event(image: LabelledImage) -> Event:
    return Event(event_id=image.sha256, text="", media=(image.reference(),))


def _made(kind: type[Extractor], settings: Settings, media: MediaReader) -> Extractor:
    files = {name: asset_file(name, settings.data, settings.cache) for name in kind.assets}
    return kind(files, media)
