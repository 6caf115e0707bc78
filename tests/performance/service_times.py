"""Measures what events cost, for `python -m serving plan`; writes reports/service-times.json.

    python -m tests.performance.service_times [FILE]

The model and the traffic are those of `tests.all_modalities`: small, and made up whole, so that
shares that are settled early say nothing about real traffic. Measured in one process, each event
once, as CPU time of that process and of the process that decodes media. The stages that miss the
deadline are measured as a second assessment without one. What HTTP, checks and records cost
comes from a real server with a model that does nothing.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from data_contracts.config import Settings, load_settings
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.verdicts import Assessment
from pipelines.simulation.composition.composing import Composition
from serving.capacity.service_times import (
    FORMAT,
    KINDS,
    Afterwards,
    ByLabel,
    Distribution,
    Kind,
    KindTimes,
    PoolTimes,
    ServiceTimes,
    encoded,
)
from tests.all_modalities import composed, small_ensemble
from tests.performance.provenance import commit
from tests.performance.request_overhead import overhead_milliseconds
from training.activation import DEADLINE
from training.ensemble import Ensemble
from training.stage_sources import media_reader, stage_sources

EVENTS, SEED, WARM_UP = 1500, 6, 40
BUDGET_MILLISECONDS = 80.0  # expected CPU that stages may take before the verdict
BATCHES = (1, 2, 4, 8, 16)
BATCHED_EVENTS = 96  # of a kind, for its batch curve


@dataclass(frozen=True)
class Answer:
    """One event's cost in CPU milliseconds, and whether doubt or the deadline ended its stages."""

    is_spam: bool
    milliseconds: float
    settled_early: bool
    cut_by_deadline: bool


def main() -> None:
    settings = load_settings()
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else settings.reports / "service-times.json"
    with tempfile.TemporaryDirectory(prefix="weir-service-times-") as folder:
        home = load_settings({**os.environ, "WEIR_HOME": folder})
        times = measured(home, Path(folder))
    write_atomically(path, encoded(times))
    print(path)


def measured(settings: Settings, folder: Path) -> ServiceTimes:
    """Train the small ensemble, then measure on traffic of another seed."""
    overhead = overhead_milliseconds(settings)
    with media_reader(settings) as media:
        training = composed(settings, 1200, media)
        model = folder / "model"
        small_ensemble(settings, training.labelled(), media, folder).save(model)
        traffic = composed(settings, EVENTS, media, SEED)
    events = _by_kind(traffic)
    kinds, afterwards = {}, {}
    for kind, own in events.items():
        kinds[kind], later = _kind_times(kind, own, traffic, lambda: _loaded(model, settings))
        if later is not None:
            afterwards[kind] = later
        print(f"{kind}: {kinds[kind].full.samples} ran in full", file=sys.stderr, flush=True)
    return ServiceTimes(
        format=FORMAT, origin=_origin(events), machine=_machine(),
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"), commit=commit(),
        overhead_milliseconds=round(overhead, 4),
        pools={"cpu": PoolTimes("one core", kinds)}, afterwards=afterwards,
    )  # fmt: skip


def _by_kind(traffic: Composition) -> dict[Kind, list[Event]]:
    """Account actions are the text events once more, with neither text nor media."""
    found: dict[Kind, list[Event]] = {kind: [] for kind in KINDS}
    for event in traffic.events:
        media = {one.kind for one in event.media}
        kind: Kind = "video" if "video" in media else "image" if media else "text"
        found[kind].append(event)
    found["account"] = [
        event.model_copy(update={"text": "", "media": ()}) for event in found["text"]
    ]
    return found


def _kind_times(
    kind: Kind, events: Sequence[Event], traffic: Composition, load: Callable[[], Ensemble]
) -> tuple[KindTimes, Afterwards | None]:
    spam = [traffic.labels[event.event_id] == "spam" for event in events]
    answers = list(_answers(load(), events, spam, BUDGET_MILLISECONDS))
    full = [one.milliseconds for one in answers if not one.settled_early]
    early = [one.milliseconds for one in answers if one.settled_early]
    times = KindTimes(
        settled_early=_share(answers, lambda one: one.settled_early),
        early=Distribution.of(early) if early else None,
        full=Distribution.of(full or early),
        batch_curve=_batch_curve(events, answers, load),
    )
    cut = [at for at, one in enumerate(answers) if one.cut_by_deadline]
    if not cut:
        return times, None
    again = list(_answers(load(), [events[at] for at in cut], [spam[at] for at in cut], np.inf))
    share = _share(answers, lambda one: one.cut_by_deadline)
    return times, Afterwards(share, Distribution.of([one.milliseconds for one in again]))


def _answers(
    ensemble: Ensemble, events: Sequence[Event], spam: Sequence[bool], budget: float
) -> Iterable[Answer]:
    """The first event only starts what decodes media."""
    ensemble.assess(events[:1], every_stage=True)
    for event, is_spam in zip(events, spam, strict=True):
        ask = partial(ensemble.assess, [event], budget_milliseconds=budget)
        milliseconds, (found,) = _spent(ask)
        yield Answer(
            is_spam, milliseconds, _is_settled_early(found),
            any(stage.skipped_because == DEADLINE for stage in found.stages),
        )  # fmt: skip


def _is_settled_early(assessment: Assessment) -> bool:
    return any("clear" in (stage.skipped_because or "") for stage in assessment.stages)


def _batch_curve(
    events: Sequence[Event], answers: Sequence[Answer], load: Callable[[], Ensemble]
) -> tuple[tuple[int, float], ...]:
    """Of events that were not settled early, the same ones at every size."""
    chosen = [
        event for event, one in zip(events, answers, strict=True) if not one.settled_early
    ][:BATCHED_EVENTS]  # fmt: skip
    costs = {}
    for size in BATCHES:
        if len(chosen) < max(size, 16):
            break
        costs[size] = _cost_of_one(load(), events[0], chosen, size)
    if not costs:
        return ((1, 1.0),)
    return tuple((size, round(cost / costs[1], 4)) for size, cost in costs.items())


def _cost_of_one(ensemble: Ensemble, first: Event, events: Sequence[Event], size: int) -> float:
    """CPU milliseconds an event, `size` at a time; `first` only starts what decodes media."""
    ensemble.assess([first], every_stage=True)
    ask = partial(ensemble.assess, budget_milliseconds=BUDGET_MILLISECONDS)
    starts = range(0, len(events) - size + 1, size)
    spent = (_spent(partial(ask, events[start : start + size]))[0] for start in starts)
    return sum(spent) / (len(starts) * size)


def _share(answers: Sequence[Answer], holds: Callable[[Answer], bool]) -> ByLabel:
    ham, spam = (
        [holds(one) for one in answers if one.is_spam is wanted] for wanted in (False, True)
    )
    return ByLabel(round(float(np.mean(ham)), 4), round(float(np.mean(spam)), 4))


def _loaded(model: Path, settings: Settings) -> Ensemble:
    """With a reader that remembers no media yet, and every session warm."""
    ensemble = Ensemble.load(model, sources=stage_sources(settings))
    for number in range(WARM_UP):
        warm = Event(event_id=f"w{number}", text="a warm-up", context={"surroundings.hour_sin": 0})
        ensemble.assess([warm], every_stage=True)
    return ensemble


def _spent(ask: Callable[[], list[Assessment]]) -> tuple[float, list[Assessment]]:
    """CPU milliseconds of this process and its children, by the scheduler's own counters."""
    children, own = _children_milliseconds(), time.process_time()
    found = ask()
    own = 1000 * (time.process_time() - own)
    return max(own + _children_milliseconds() - children, 0.0), found


def _children_milliseconds() -> float:
    """Of those that live, and of those that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = sum(_scheduled(child.pid) for child in psutil.Process().children())
    return living + 1000 * (ended.ru_utime + ended.ru_stime)


def _scheduled(process: int) -> float:
    """CPU milliseconds of a process by /proc; 0 where it has ended."""
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6
    except (OSError, IndexError):
        return 0.0


def _origin(events: dict[Kind, list[Event]]) -> str:
    counts = ", ".join(f"{len(own)} {kind}" for kind, own in events.items())
    return (
        f"The small ensemble of tests/all_modalities.py, trained on made-up traffic, asked "
        f"about made-up traffic of another seed ({counts}): shares that are settled early, and "
        f"sizes of pictures and clips, are those of a simulation. CPU time of every event, asked "
        f"alone, with {BUDGET_MILLISECONDS:g} ms of expected CPU before the verdict; what misses "
        f"them is measured as a second assessment without a deadline. The overhead is a request "
        f"to a real server whose model does nothing, without Envoy and TLS."
    )


def _machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return (
        f"{model}, {psutil.cpu_count()} virtual cores, no accelerator, Python "
        f"{platform.python_version()}; load average of the quarter of an hour up to its end, the "
        f"measurement included, {os.getloadavg()[2]:.1f}"
    )


if __name__ == "__main__":
    main()
