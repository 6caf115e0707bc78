"""How well edited copies of videos are found again, at no false match.

    python -m tests.performance.quality_near_duplicate_videos

Each of the 13 clips of `video_near_duplicates` (6 sources) is edited in every way of
`video_edits`; a copy is found where it matches the clip that it was made of. False matches are
sought among all pairs of videos of different sources: clips, copies, and slide shows of images
from `image_spam` that share no near-duplicate. The product's threshold is a constant, not fitted
here; `recall_at_zero_false` instead takes the highest score of these very negatives as the
threshold, which favours every system.

Crops, distance and alignment were chosen while looking at edits of these clips: the recall is
that of the set developed on. Crops of 10 and 20 % are the very ones that a signature holds; those
of 15 % and the cut at one side lie between them. Intervals are Clopper-Pearson, as if the clips
were independent: those of one source are not, so the intervals are too narrow.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from data_contracts.events import MediaReference
from evaluation.attacks.video import Clip, written
from evaluation.metrics import Booleans, Estimate, Floats, clopper_pearson
from pipelines.catalogue import collection
from pipelines.feature_store.states import MemoryStates
from pipelines.features.image.network import resized
from pipelines.features.media.base import DecodedVideo, MediaReader, Unreadable
from pipelines.features.media.hashes import Words, pdq_words
from pipelines.features.media.reader import BoundedMediaReader
from pipelines.features.media_feature_cache import FOLDER, MediaFeatureCache
from pipelines.features.video.alignment import COPY, similarity
from pipelines.features.video.bars import Frames
from pipelines.features.video.known_videos import KnownVideos
from pipelines.features.video.sequence_hash import VideoSignature, signature
from pipelines.image_sets import DREDZE_ARCHIVE, IMPROVED, ISH, LabelledImage, read_images
from tests.performance.quality_parts import Part, Say
from tests.performance.video_edits import EDITS, read_clip

COLLECTION, MANIFEST = "video_near_duplicates", "manifest.csv.gz"
SEED, VERSION = 20_260_105, "2"
ORIGINAL, MIRRORED, ALL_BUT_MIRRORED = "", "mirrored", "all but mirrored"
SLIDE_SHOWS, SLIDES, FRAMES_A_SLIDE, SLIDE_SECONDS = 100, 8, 8, 1.5
SLIDE_WIDTH, SLIDE_HEIGHT = 320, 240
VPDQ_BITS, VPDQ_SHARE = 31, 0.8  # ThreatExchange, vpdq/README.md: the recommended thresholds
PDQ_BITS = 31  # ThreatExchange, pdq/README.md
WEIR, INDEX, VPDQ, MEAN, EXACT = (
    "Weir", "Weir, found by index", "vPDQ, whole frames", "PDQ of the mean frame", "sha256",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Video:
    """One video as read: `source` is what it was filmed from, `clip` the file it is a copy of."""

    source: str
    clip: str
    edit: str
    sha256: str
    signature: VideoSignature
    mean_hash: Words


@dataclass(frozen=True)
class System:
    """`score(copy, known)` is higher for what is more alike; a match at `threshold` or above."""

    name: str
    score: Callable[[Video, Video], float]
    threshold: float


@dataclass(frozen=True)
class Judged:
    """Scores of one system: of each copy with its clip, and of all unrelated pairs."""

    system: System
    copies: Floats
    unrelated: Floats
    sources: list[str]  # of each unrelated pair

    @property
    def found(self) -> Booleans:
        return np.asarray(self.copies >= self.system.threshold)

    @property
    def found_at_zero_false(self) -> Booleans:
        return np.asarray(self.copies > self.unrelated.max())


def _weir(copy: Video, known: Video) -> float:
    return similarity(copy.signature, known.signature).score


def _vpdq(copy: Video, known: Video) -> float:
    """The share of the copy's frames that are near any frame of the known video."""
    ours, theirs = (one.signature.hashes[:, -1] for one in (copy, known))
    if not len(ours) or not len(theirs):
        return 0.0
    bits = np.bitwise_count(ours[:, None] ^ theirs).sum(axis=-1)
    return float((bits.min(axis=1) <= VPDQ_BITS).mean())


def _mean_frame(copy: Video, known: Video) -> float:
    return -float(np.bitwise_count(copy.mean_hash ^ known.mean_hash).sum())


def _exact(copy: Video, known: Video) -> float:
    return float(copy.sha256 == known.sha256)


SYSTEMS = (
    System(WEIR, _weir, COPY),
    System(VPDQ, _vpdq, VPDQ_SHARE),
    System(MEAN, _mean_frame, -PDQ_BITS),
    System(EXACT, _exact, 1.0),
)


def measure(settings: Settings, say: Say) -> Part:
    """The part `near-duplicate-videos`. MissingPart where clips or images are absent."""
    with MediaFeatureCache(settings.cache / FOLDER) as cache:
        videos = list(_clips_and_copies(settings, cache, say))
        shows = list(_slide_shows(settings, say))
    say(f"comparing {len(videos)} clips and copies, {len(shows)} slide shows")
    judged = [_judged(system, videos, shows) for system in SYSTEMS]
    rows = [*_recalls(judged, videos), *_reposts(videos), *_by_index(videos, shows)]
    rows += [*_false_matches(judged, videos), *_costs(settings, videos)]
    return Part("near-duplicate-videos", "Videos seen before", rows, _goals(rows))


def _clips_and_copies(settings: Settings, cache: MediaFeatureCache, say: Say) -> Iterator[Video]:
    with BoundedMediaReader(None) as media:
        for number, (path, source) in enumerate(_clips(settings)):
            say(f"{path.name}: reading it and its {len(EDITS)} copies")
            seen = _Memory(cache, path.read_bytes(), media)
            yield seen.video(source, path.name, ORIGINAL, seen.content)
            for place, edit in enumerate(EDITS):
                rng = np.random.default_rng([SEED, number, place])
                yield seen.copy(source, path.name, edit, rng)


def _clips(settings: Settings) -> list[tuple[Path, str]]:
    """The files with the source of each, in the order of the manifest."""
    paths = collection(COLLECTION, settings.data).paths
    with gzip.open(paths[MANIFEST], "rt", encoding="utf-8", newline="") as text:
        return [(paths[row["file"]], row["source_clip"]) for row in csv.DictReader(text)]


class _Memory:
    """Signatures of one clip's copies, kept between runs: making a copy costs seconds."""

    def __init__(self, cache: MediaFeatureCache, content: bytes, media: MediaReader) -> None:
        self.content = content
        self._cache = cache
        self._media = media

    @cached_property
    def _clip(self) -> Clip:
        return read_clip(self.content)

    def copy(self, source: str, name: str, edit: str, rng: np.random.Generator) -> Video:
        key = hashlib.sha256(f"{VERSION} {edit} ".encode() + self.content).digest()
        packed = self._cache.get(key)
        if packed is None:
            made = self.video(source, name, edit, written(EDITS[edit](self._clip, rng)))
            self._cache.put(key, _packed(made))
            return made
        return _unpacked(packed, source, name, edit)

    def video(self, source: str, name: str, edit: str, content: bytes) -> Video:
        digest = hashlib.sha256(content).hexdigest()
        decoded = _decoded(content, digest, self._media)
        return Video(source, name, edit, digest, signature(decoded), _mean_hash(decoded))


def _decoded(content: bytes, digest: str, media: MediaReader) -> DecodedVideo:
    encoded = base64.b64encode(content).decode()
    decoded = media.video(MediaReference(kind="video", sha256=digest, bytes=encoded))
    if isinstance(decoded, Unreadable):
        raise BadInput(f"video {digest[:12]}: {decoded.reason}; place an intact file there")
    return decoded


def _mean_hash(video: DecodedVideo) -> Words:
    return pdq_words(video.rgb.mean(axis=0).astype(np.uint8))[0]


def _packed(video: Video) -> bytes:
    mean = video.mean_hash.astype("<u8").tobytes()
    return bytes.fromhex(video.sha256) + mean + video.signature.pack()


def _unpacked(packed: bytes, source: str, name: str, edit: str) -> Video:
    mean = np.frombuffer(packed[32:64], "<u8")
    return Video(source, name, edit, packed[:32].hex(), VideoSignature.unpack(packed[64:]), mean)


def _slide_shows(settings: Settings, say: Say) -> Iterator[Video]:
    """Videos that show SLIDES images each; no two images are of one near-duplicate group."""
    images = {one.group: one for one in read_images(settings.data, ISH, DREDZE_ARCHIVE, IMPROVED)}
    wanted = SLIDE_SHOWS * SLIDES
    say(f"showing {wanted} images of {len(images)} groups in {SLIDE_SHOWS} slide shows")
    order = np.random.default_rng(SEED).permutation(sorted(images))
    with BoundedMediaReader(None) as media:
        slides = (_slide(images[group], media) for group in order)
        readable = islice((slide for slide in slides if slide is not None), wanted)
        for number in range(SLIDE_SHOWS):
            name = f"slide show {number}"
            video = _show(list(islice(readable, SLIDES)))
            digest = hashlib.sha256(video.rgb.tobytes()).hexdigest()
            yield Video(name, name, ORIGINAL, digest, signature(video), _mean_hash(video))


def _slide(image: LabelledImage, media: MediaReader) -> Frames | None:
    decoded = media.image(image.reference())
    if isinstance(decoded, Unreadable):
        return None
    return resized(decoded.rgb, SLIDE_WIDTH, SLIDE_HEIGHT)


def _show(slides: Sequence[Frames]) -> DecodedVideo:
    rgb = np.stack(slides).repeat(FRAMES_A_SLIDE, axis=0)
    seconds = len(slides) * SLIDE_SECONDS
    return DecodedVideo(rgb, np.linspace(0, seconds, len(rgb), endpoint=False), seconds, 25.0)


def _judged(system: System, videos: Sequence[Video], shows: Sequence[Video]) -> Judged:
    originals = {one.clip: one for one in videos if one.edit == ORIGINAL}
    copies = [system.score(one, originals[one.clip]) for one in videos if one.edit != ORIGINAL]
    unrelated = list(_unrelated(videos, shows))
    scores = np.array([system.score(*pair) for pair in unrelated])
    return Judged(system, np.array(copies), scores, _kinds(unrelated))


def _unrelated(videos: Sequence[Video], shows: Sequence[Video]) -> Iterator[tuple[Video, Video]]:
    pairs = combinations((*videos, *shows), 2)
    return (pair for pair in pairs if pair[0].source != pair[1].source)


def _kinds(pairs: Sequence[tuple[Video, Video]]) -> list[str]:
    """The two sources of each pair, where any pair of sources has many pairs of copies."""
    return [" and ".join(sorted((copy.source, known.source))) for copy, known in pairs]


def _recalls(judged: Sequence[Judged], videos: Sequence[Video]) -> Iterator[dict[str, Any]]:
    edits = np.array([one.edit for one in videos if one.edit != ORIGINAL])
    for edit in (*EDITS, ALL_BUT_MIRRORED):
        chosen = edits != MIRRORED if edit == ALL_BUT_MIRRORED else edits == edit
        for one in judged:
            yield {
                **_described(one.system.name, f"copies: {edit}", videos),
                "copies": int(chosen.sum()),
                "recall": _rate(one.found[chosen]),
                "recall_at_zero_false": _rate(one.found_at_zero_false[chosen]),
            }


def _reposts(videos: Sequence[Video]) -> Iterator[dict[str, Any]]:
    """The set's own edited clips: all pairs of one source."""
    clips = [one for one in videos if one.edit == ORIGINAL]
    pairs = [pair for pair in combinations(clips, 2) if pair[0].source == pair[1].source]
    for system in SYSTEMS:
        found = np.array([system.score(*pair) >= system.threshold for pair in pairs])
        described = _described(system.name, "the set's own copies, all pairs of one source", videos)
        yield {**described, "copies": len(pairs), "recall": _rate(found)}


def _by_index(videos: Sequence[Video], shows: Sequence[Video]) -> Iterator[dict[str, Any]]:
    """Copies looked up among all clips and slide shows, instead of compared with each."""
    known, names = KnownVideos(MemoryStates()), {}
    for video in (*(one for one in videos if one.edit == ORIGINAL), *shows):
        known.add(video.sha256, video.signature)
        names[video.sha256] = video
    copies = [one for one in videos if one.edit not in (ORIGINAL, MIRRORED)]
    before = time.process_time()
    answers = [[names[hit.sha256] for hit in known.copies(one.signature)] for one in copies]
    spent = time.process_time() - before
    pairs = list(zip(copies, answers, strict=True))
    found = [one.clip in {hit.clip for hit in hits} for one, hits in pairs]
    foreign = [any(hit.source != one.source for hit in hits) for one, hits in pairs]
    yield {
        **_described(INDEX, f"copies: {ALL_BUT_MIRRORED}", videos),
        "copies": len(copies),
        "recall": _rate(np.array(found)),
        "false_matches": int(sum(foreign)),
        "known_videos": len(names),
        "cpu_milliseconds": 1000 * spent / len(copies),
    }


def _false_matches(judged: Sequence[Judged], videos: Sequence[Video]) -> Iterator[dict[str, Any]]:
    """By pair, and by pair of sources: only the latter come near to being independent."""
    for one in judged:
        false = one.unrelated >= one.system.threshold
        confused = {pair for pair, wrong in zip(one.sources, false, strict=True) if wrong}
        distinct = len(set(one.sources))
        yield {
            **_described(one.system.name, "all pairs of different sources", videos),
            "pairs": len(false),
            "false_matches": int(false.sum()),
            "highest_unrelated": float(one.unrelated.max()),
            "pairs_of_sources": distinct,
            "false_match_rate": _estimate(clopper_pearson(len(confused), distinct)),
        }


def _costs(settings: Settings, videos: Sequence[Video]) -> Iterator[dict[str, Any]]:
    """CPU a clip: the reader's process with its start, hashing, and comparing two signatures."""
    contents = [path.read_bytes() for path, _ in _clips(settings)]
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    with BoundedMediaReader(None) as media:
        decoded = [_decoded(one, hashlib.sha256(one).hexdigest(), media) for one in contents]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    decoding = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    hashing = _cpu_seconds(lambda: [signature(one) for one in decoded])
    clips = [one for one in videos if one.edit == ORIGINAL]
    pairs = list(combinations(clips, 2))
    comparing = _cpu_seconds(lambda: [_weir(*pair) for pair in pairs])
    yield {
        **_described(WEIR, "CPU", videos),
        "decoding_milliseconds": 1000 * decoding / len(contents),
        "signature_milliseconds": 1000 * hashing / len(contents),
        "comparison_milliseconds": 1000 * comparing / len(pairs),
        "signature_bytes": int(np.mean([len(one.signature.pack()) for one in clips])),
    }


def _cpu_seconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _described(system: str, split: str, videos: Sequence[Video]) -> dict[str, Any]:
    clips = {one.clip for one in videos}
    sources = {one.source for one in videos}
    return {
        "set": COLLECTION, "system": system, "split": split,
        "clips": len(clips), "sources": len(sources),
    }  # fmt: skip


def _rate(found: Booleans) -> dict[str, float]:
    return _estimate(clopper_pearson(int(found.sum()), len(found)))


def _estimate(estimate: Estimate) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _goals(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    false = next(row for row in rows if row["system"] == WEIR and "false_match_rate" in row)
    recalls = {
        row["system"]: row["recall_at_zero_false"]["value"]
        for row in rows
        if row["split"] == f"copies: {ALL_BUT_MIRRORED}" and "recall_at_zero_false" in row
    }
    weir = next(
        row["recall"]["value"]
        for row in rows
        if row["system"] == WEIR and row["split"] == f"copies: {ALL_BUT_MIRRORED}"
    )
    best = max(recall for system, recall in recalls.items() if system != WEIR)
    return [
        {
            "id": "near-duplicate-videos-false-matches",
            "statement": f"no false match in {false['pairs']} pairs of unrelated videos",
            "target": 0,
            "measured": false["false_matches"],
            "met": false["false_matches"] == 0,
        },
        {
            "id": "near-duplicate-videos-recall",
            "statement": "recall of edited copies (mirrored ones apart) at a fixed threshold above "
            "that of each baseline at its best threshold without false matches",
            "target": best,
            "measured": weir,
            "met": weir > best,
        },
    ]


def main() -> int:
    began = time.monotonic()
    say: Say = lambda text: print(  # noqa: E731
        f"{time.monotonic() - began:7.1f} s  {text}", file=sys.stderr, flush=True
    )
    part = measure(load_settings(), say)
    for line in (*part.rows, *part.goals):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
