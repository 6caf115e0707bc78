"""Where the stages beside the text come from: classes by configuration, files by asset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, Protocol, TypeVar

from data_contracts.config import EnsembleStage, Settings
from pipelines.assets import asset_file
from pipelines.features.base import Extractor
from pipelines.features.media.base import MediaLimits, MediaReader
from pipelines.features.media_feature_cache import FOLDER, CachedExtractor, MediaFeatureCache

if TYPE_CHECKING:
    from pipelines.features.media.reader import BoundedMediaReader

READ_FROM_MEDIA = ("image", "video")
P = ParamSpec("P")
T = TypeVar("T")


class LeftOut(NamedTuple):
    """Stands where a stage gave nothing; `why` is the reason code in the verdict."""

    why: str


class Guarding(Protocol):
    """Puts what a stage asks of the text's networks behind something that may leave it out."""

    def __call__(self, stage: str, work: Callable[P, T]) -> Callable[P, T | LeftOut]: ...


def unguarded(stage: str, work: Callable[P, T]) -> Callable[P, T | LeftOut]:  # noqa: ARG001
    """Nothing is left out, however long it takes."""
    return work


@dataclass(frozen=True)
class StageSources:
    """The configured stages and the reader that their extractors read media with."""

    stages: Mapping[str, EnsembleStage]
    media: MediaReader

    @property
    def families(self) -> dict[str, str]:
        """The class of each stage's specialist, as `module:Class`."""
        return {name: stage.specialist for name, stage in self.stages.items()}

    def extractor(self, name: str, files: Mapping[str, Path]) -> Extractor:
        """The extractor of a configured stage, with its assets' files."""
        return extractor_class(self.stages[name])(files, self.media)

    def guarding(self) -> Guarding:
        """What stands before the text's networks of one ensemble."""
        return unguarded


@dataclass(frozen=True)
class TrainingStages:
    """The stages of a training: extractors that remember what media gave, and their assets."""

    stages: Mapping[str, EnsembleStage] = field(default_factory=dict)
    extractors: Mapping[str, Extractor] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    def assets_of(self, names: Iterable[str]) -> dict[str, Path]:
        """The files of the assets that these stages need."""
        needed = (asset for name in names for asset in self.extractors[name].assets)
        return {asset: self.files[asset] for asset in needed}


def extractor_class(stage: EnsembleStage) -> type[Extractor]:
    """The class that a stage's `module:Class` names."""
    module, _, name = stage.extractor.partition(":")
    found: type[Extractor] = getattr(import_module(module), name)
    return found


def stage_sources(settings: Settings) -> StageSources:
    """As the configuration says."""
    return StageSources(settings.ensemble.stages, media_reader(settings))


def media_reader(settings: Settings) -> BoundedMediaReader:
    """Reads media under the media root, within the default bounds."""
    from pipelines.features.media.reader import BoundedMediaReader

    return BoundedMediaReader(settings.media_root, MediaLimits())


class AssetFiles(Mapping[str, Path]):
    """The files of the assets that `stages` need, each obtained when it is first asked for."""

    def __init__(self, settings: Settings, stages: Mapping[str, EnsembleStage]) -> None:
        self._settings = settings
        self._names = tuple(
            dict.fromkeys(
                name for stage in stages.values() for name in extractor_class(stage).assets
            )
        )

    def __getitem__(self, name: str) -> Path:
        if name not in self._names:
            raise KeyError(name)
        return asset_file(name, self._settings.data, self._settings.cache)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@contextmanager
def training_stages(settings: Settings, media: MediaReader) -> Iterator[TrainingStages]:
    """The configured stages, ready to read the rows of a training."""
    stages = settings.ensemble.stages
    files = AssetFiles(settings, stages)
    with MediaFeatureCache(settings.cache / FOLDER) as cache:
        extractors: dict[str, Extractor] = {}
        for name, stage in stages.items():
            extractor = extractor_class(stage)(files, media)
            cached = stage.modality in READ_FROM_MEDIA
            extractors[name] = CachedExtractor(extractor, cache) if cached else extractor
        yield TrainingStages(stages, extractors, files)
