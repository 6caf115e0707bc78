"""What becomes of media files that are broken, lying, huge or something else.

    python -m tests.performance.quality_malformed_media

A thousand files, made by the 27 recipes of `tests.malformed_media` (seed 20260105) from images
of `image_spam` and the clips of `video_near_duplicates`, or from small generated ones where those
are absent. Each has to give pixels or a reason, in the time that is allowed, while worker and
parent stay under their bounds of memory. Nothing is remembered from one file to the next.

Beside it, what the other process costs: sound files decoded through it and in this process,
taking turns. Intervals of milliseconds are the quartiles.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data_contracts.config import Data, Settings, load_settings
from data_contracts.errors import MissingPart
from data_contracts.events import MediaKind
from evaluation.metrics import clopper_pearson
from pipelines.catalogue import collection
from pipelines.features.media.base import MediaLimits, Unreadable
from pipelines.features.media.decoder import START_SECONDS
from pipelines.features.media.images import decode_image
from pipelines.features.media.reader import BoundedMediaReader
from pipelines.features.media.videos import decode_video
from pipelines.image_sets import DREDZE_ARCHIVE, IMPROVED, ISH, read_images
from tests.malformed_media import (
    MalformedFile,
    Sources,
    generated_sources,
    malformed_media,
    media_reference,
)
from tests.performance.memory_watch import MemoryWatch
from tests.performance.quality_parts import Part, Say

SEED, FILES, IMAGES, ROUNDS = 20_260_105, 1000, 120, 5
VIDEO_COLLECTION = "video_near_duplicates"
MEBIBYTE = 1 << 20
IDLE_WORKER, PARENT_BOUND = 96 * MEBIBYTE, 256 * MEBIBYTE
QUARTILES = (50, 25, 75)


@dataclass(frozen=True)
class Reading:
    """`answers[recipe]` counts reasons, and `pixels` with their notes; the slowest file last."""

    answers: Mapping[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: list[tuple[float, str]] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return sum(counts.total() for counts in self.answers.values())


def measure(settings: Settings, say: Say) -> Part:
    """The part `malformed_media` of `bench-quality`; it needs no dataset."""
    rng = np.random.default_rng(SEED)
    origin, sources = _sources(settings.data, rng)
    limits = MediaLimits()
    say(f"{FILES} malformed files from {origin}")
    watch = MemoryWatch()
    with BoundedMediaReader(None, limits, recent_bytes=0) as reader:
        reading = _read(reader, malformed_media(FILES, rng, sources), watch)
    say(f"{reading.answered} answers, worker at most {watch.worker_peak // MEBIBYTE} MiB")
    rows = [*_recipe_rows(reading, origin), _total_row(reading, watch, origin)]
    say("sound files through the worker and in this process")
    rows += _cost_rows(sources, limits)
    goals = list(_goals(reading, watch, limits))
    return Part("malformed_media", "Media that are broken, lying or huge", rows, goals)


def _sources(data: Data, rng: np.random.Generator) -> tuple[str, Sources]:
    try:
        images = [one.content for one in read_images(data, ISH, DREDZE_ARCHIVE, IMPROVED)]
        clips = collection(VIDEO_COLLECTION, data).paths
    except MissingPart:
        return "generated images and clips", generated_sources(rng)
    chosen = [images[place] for place in rng.choice(len(images), IMAGES, replace=False)]
    videos = [path.read_bytes() for name, path in clips.items() if name.endswith(".mp4")]
    made = generated_sources(rng)  # the sets hold no WebP, BMP or TIFF, and only MP4
    return (
        f"{IMAGES} images of image_spam, {len(videos)} clips, generated ones of other formats",
        Sources([*chosen, *made.images], [*videos, *made.videos]),
    )


def _read(
    reader: BoundedMediaReader, files: Iterator[MalformedFile], watch: MemoryWatch
) -> Reading:
    reading = Reading()
    for file in files:
        read, reference = _read_by(reader, file.kind), file.reference()
        start = time.perf_counter()
        found = read(reference)
        reading.seconds.append((time.perf_counter() - start, file.name))
        reading.answers[file.name.rpartition("-")[0]][_said(found)] += 1
        watch.look(reader.worker)
    return reading


def _read_by(reader: BoundedMediaReader, kind: MediaKind) -> Callable[..., Any]:
    return reader.image if kind == "image" else reader.video


def _said(found: Any) -> str:
    if isinstance(found, Unreadable):
        return found.reason
    return " + ".join(("pixels", *found.notes))


def _recipe_rows(reading: Reading, origin: str) -> Iterator[dict[str, Any]]:
    for recipe, counts in reading.answers.items():
        said = ", ".join(f"{count} {answer}" for answer, count in counts.most_common())
        yield {
            "set": recipe, "system": "BoundedMediaReader", "split": origin,
            "files": counts.total(), "pixels": _with_pixels(counts), "answers": said,
        }  # fmt: skip


def _with_pixels(counts: Counter[str]) -> int:
    return sum(count for answer, count in counts.items() if answer.startswith("pixels"))


def _total_row(reading: Reading, watch: MemoryWatch, origin: str) -> dict[str, Any]:
    slowest, name = max(reading.seconds)
    share = clopper_pearson(reading.answered, FILES)
    return {
        "set": "all", "system": "BoundedMediaReader", "split": origin, "files": FILES,
        "pixels": sum(map(_with_pixels, reading.answers.values())),
        "answered": {"value": share.value, "low": share.low, "high": share.high},
        "workers": len(watch.workers),
        "worker_peak_mib": watch.worker_peak // MEBIBYTE,
        "parent_growth_mib": watch.parent_growth // MEBIBYTE,
        "median_ms": 1000 * float(np.median([seconds for seconds, _ in reading.seconds])),
        "slowest_s": slowest, "slowest": name,
    }  # fmt: skip


def _cost_rows(sources: Sources, limits: MediaLimits) -> Iterator[dict[str, Any]]:
    sets: tuple[tuple[MediaKind, Sequence[bytes]], ...] = (
        ("image", sources.images[:IMAGES]),
        ("video", sources.videos),
    )
    for kind, files in sets:
        spent = _milliseconds(kind, files, limits)
        for system, milliseconds in spent.items():
            middle, low, high = (float(value) for value in np.percentile(milliseconds, QUARTILES))
            yield {
                "set": f"sound {kind}s", "system": system, "split": f"{ROUNDS} rounds in turn",
                "files": len(files), "milliseconds": {"value": middle, "low": low, "high": high},
            }  # fmt: skip


def _milliseconds(
    kind: MediaKind, files: Sequence[bytes], limits: MediaLimits
) -> Mapping[str, Sequence[float]]:
    """Each file's least of ROUNDS, through the worker (with its base64 and digest) and here."""
    with BoundedMediaReader(None, limits, recent_bytes=0) as reader:
        read = _read_by(reader, kind)
        decode = decode_image if kind == "image" else decode_video
        references = [media_reference(content, kind) for content in files]
        read(references[0])
        rounds = [
            [
                (_timed(read, reference), _timed(decode, content, limits))
                for reference, content in zip(references, files, strict=True)
            ]
            for _ in range(ROUNDS)
        ]
    least = 1000 * np.array(rounds).min(axis=0)
    return {
        "through the worker": least[:, 0].tolist(),
        "in this process": least[:, 1].tolist(),
        "the difference": (least[:, 0] - least[:, 1]).tolist(),
    }


def _timed(call: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def _goals(reading: Reading, watch: MemoryWatch, limits: MediaLimits) -> Iterator[dict[str, Any]]:
    slowest, _ = max(reading.seconds)
    allowed = limits.timeout_seconds + START_SECONDS
    bound = (IDLE_WORKER + limits.memory_bytes) // MEBIBYTE
    worker, parent = watch.worker_peak // MEBIBYTE, watch.parent_growth // MEBIBYTE
    yield _goal(
        "malformed_media_answers",
        f"{FILES} malformed files give {FILES} answers, each pixels or a reason",
        FILES, reading.answered, reading.answered == FILES,
    )  # fmt: skip
    yield _goal(
        "malformed_media_worker_memory",
        "peak resident memory of the worker, MiB: an idle one and what a file is allowed",
        bound, worker, worker <= bound,
    )  # fmt: skip
    yield _goal(
        "malformed_media_parent_memory", "growth of the parent's resident memory, MiB",
        PARENT_BOUND // MEBIBYTE, parent, parent <= PARENT_BOUND // MEBIBYTE,
    )  # fmt: skip
    yield _goal(
        "malformed_media_seconds", "seconds of the slowest file: the time-out and a new worker",
        allowed, slowest, slowest <= allowed,
    )  # fmt: skip


def _goal(name: str, statement: str, target: float, measured: float, met: bool) -> dict[str, Any]:
    return {
        "id": name, "statement": statement, "target": target, "measured": measured, "met": met,
    }  # fmt: skip


def main() -> None:
    part = measure(load_settings(), lambda line: print(line, file=sys.stderr, flush=True))
    for row in part.rows:
        print(row)
    for goal in part.goals:
        print(goal)


if __name__ == "__main__":
    main()
