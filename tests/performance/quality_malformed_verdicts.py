"""The verdicts on events whose media are broken, lying or huge: the whole path, to the last one.

    python -m tests.performance.quality_malformed_verdicts

A small ensemble of every stage, trained on made-up traffic, answers 1,000 events that carry the
files of `tests.malformed_media` (seed 20260105), every stage forced to run. What the verdicts
say means nothing here; that there is one for each event, with the reason, and within the bounds
of memory and time, does.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_contracts.config import Settings, load_settings
from data_contracts.events import Event
from data_contracts.verdicts import Assessment
from evaluation.metrics import clopper_pearson
from pipelines.features.media.base import MediaLimits
from pipelines.features.media.reader import BoundedMediaReader
from tests.all_modalities import composed, small_ensemble
from tests.malformed_media import generated_sources, malformed_media
from tests.performance.memory_watch import MemoryWatch
from tests.performance.quality_parts import Part, Say
from training.ensemble import Ensemble
from training.stage_sources import StageSources

FILES, SEED, TRAINED_ON = 1000, 20_260_105, 500
IDLE_WORKER, MEBIBYTE, PARENT_MIB = 96 * 2**20, 2**20, 512


def measure(settings: Settings, say: Say) -> Part:
    """The part `malformed_verdicts` of `bench-quality`; it needs no dataset."""
    limits = MediaLimits()
    with tempfile.TemporaryDirectory() as folder, BoundedMediaReader(None, limits) as reader:
        say("training a small ensemble on made-up events")
        model = _trained(settings, Path(folder))
        ensemble = Ensemble.load(model, sources=StageSources(settings.ensemble.stages, reader))
        events = _events()
        ensemble.assess(events[:3], every_stage=True)  # every network is loaded
        watch = MemoryWatch()
        verdicts, seconds = [], []
        for event in events:
            began = time.perf_counter()
            verdicts += ensemble.assess([event], every_stage=True)
            seconds.append(time.perf_counter() - began)
            watch.look(reader.worker)
    say(f"{len(verdicts)} verdicts, worker at most {watch.worker_peak // MEBIBYTE} MiB")
    row = _row(verdicts, seconds, watch)
    title = "Verdicts on events whose media are broken, lying or huge"
    return Part("malformed_verdicts", title, [row], list(_goals(row, limits)))


def _trained(settings: Settings, folder: Path) -> Path:
    own = settings.model_copy(update={"home": folder})
    with BoundedMediaReader(own.media_root, MediaLimits()) as media:
        rows = composed(own, TRAINED_ON, media).labelled()
        small_ensemble(own, rows, media, folder).save(folder / "model")
    return folder / "model"


def _events() -> list[Event]:
    rng = np.random.default_rng(SEED)
    files = malformed_media(FILES, rng, generated_sources(rng))
    return [
        Event(event_id=f"malformed-{number}", text="look at this", media=(file.reference(),))
        for number, file in enumerate(files)
    ]


def _row(
    verdicts: Sequence[Assessment], seconds: Sequence[float], watch: MemoryWatch
) -> dict[str, Any]:
    reasons = Counter(
        reason for verdict in verdicts for reason in verdict.reasons if _is_of_media(reason)
    )
    share = clopper_pearson(len(verdicts), FILES)
    return {
        "set": "generated, malformed", "system": "Ensemble.assess, every stage",
        "events": FILES, "verdicts": len(verdicts),
        "answered": {"value": share.value, "low": share.low, "high": share.high},
        "with_a_reason_of_media": sum(
            any(map(_is_of_media, verdict.reasons)) for verdict in verdicts
        ),
        "workers": len(watch.workers), "worker_peak_mib": watch.worker_peak // MEBIBYTE,
        "parent_growth_mib": watch.parent_growth // MEBIBYTE,
        "median_ms": 1000 * float(np.median(seconds)), "slowest_s": max(seconds),
        "reasons": ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()),
    }  # fmt: skip


def _is_of_media(reason: str) -> bool:
    return reason.startswith(("media_", "image_", "video_", "ocr_"))


def _goals(row: Mapping[str, Any], limits: MediaLimits) -> Iterator[dict[str, Any]]:
    bound = (IDLE_WORKER + limits.memory_bytes) // MEBIBYTE
    yield {
        "id": "malformed_media.verdicts",
        "statement": f"verdicts on {FILES} events with malformed media",
        "target": f"= {FILES}", "measured": row["verdicts"], "met": row["verdicts"] == FILES,
    }  # fmt: skip
    yield {
        "id": "malformed_media.verdicts.memory",
        "statement": "MiB that the decoding worker takes at most, and the server grows",
        "target": f"<= {bound} and {PARENT_MIB}",
        "measured": max(row["worker_peak_mib"], row["parent_growth_mib"]),
        "met": row["worker_peak_mib"] <= bound and row["parent_growth_mib"] <= PARENT_MIB,
    }  # fmt: skip


if __name__ == "__main__":
    print(measure(load_settings(), lambda line: print(line, file=sys.stderr)))
