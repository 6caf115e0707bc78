"""Whole rollouts under the real judge, on made streams: when it says what, and what others say.

A rollout takes the steps of `base.yaml` as production runs them. The judge looks every `LOOK`
canary requests, as a controller would. When its rollout is over the stream goes on, so that the
rivals see as many requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from data_contracts.config import Rollout
from serving.rollout.analysis import Analysis, Bounds, judge
from tests.performance.rollout_rivals import (
    Series,
    fixed_thresholds,
    mann_whitney_again_and_again,
    mann_whitney_at_the_end,
    series,
)
from tests.performance.rollout_streams import (
    CHUNK,
    CHUNK_LOOKS,
    LOOK,
    Chunk,
    Scenario,
    live,
    mirrored,
)
from tests.performance.rollout_tallies import LabelBudget, Live, Shadow

BUDGET_REQUESTS = 50_000
BUDGET_LABELS = 2_000
LONGEST = 200_000  # canary requests, where an equal model is let go on
JUDGE = "Weir's judge"
RIVALS: Mapping[str, Callable[[Series], int | None]] = {
    "fixed thresholds (Flagger)": fixed_thresholds,
    "Mann-Whitney at the end (Kayenta)": mann_whitney_at_the_end,
    "Mann-Whitney, looked at repeatedly": mann_whitney_again_and_again,
}


@dataclass(frozen=True)
class Outcome:
    """How one rollout ended: `requests` (of the canary) and labels until then.

    `stopped_at`: requests until each method stops the canary, None where it does not within
    the budget. `metric`: what the judge failed it for. `looks`: how often it was asked.
    """

    state: str  # passed, failed or waiting
    phase: str
    requests: int
    labels: int
    metric: str | None
    looks: int
    stopped_at: Mapping[str, int | None]


class _Stream:
    """Chunks of a phase as they are needed; keeps the rivals' time series of all phases."""

    def __init__(self, scenario: Scenario, rng: np.random.Generator) -> None:
        self._scenario = scenario
        self._rng = rng
        self.series: list[Series] = []

    def chunk(self, phase: str) -> tuple[Chunk, Chunk]:
        draw = mirrored if phase == "shadow" else live
        arms = draw(self._scenario, self._rng)
        if len(self.series) * CHUNK < BUDGET_REQUESTS:
            self.series.append(series(*arms))
        return arms


def roll_out(scenario: Scenario, settings: Rollout, seed: int) -> Outcome:
    """One rollout, the same for the same seed."""
    rng = np.random.default_rng([seed, *scenario.name.encode()])
    stream = _Stream(scenario, rng)
    longest = LONGEST if scenario.is_equal else BUDGET_REQUESTS
    looks = list(_judged(settings, stream, longest, rng))
    last = looks[-1]
    state, metric = "waiting", None
    if last.analysis is None:
        state = "passed"
    elif last.analysis.verdict == "fail":
        state = "failed"
        failed = (one.metric for one in last.analysis.measurements if one.verdict == "fail")
        metric = next(failed)
    while len(stream.series) * CHUNK < BUDGET_REQUESTS:
        stream.chunk("canary")
    found = Series.joined(stream.series)
    in_time = state == "failed" and last.requests <= BUDGET_REQUESTS
    stopped = {JUDGE: last.requests if in_time else None}
    stopped |= {name: rival(found) for name, rival in RIVALS.items()}
    return Outcome(state, last.phase, last.requests, last.labels, metric, len(looks), stopped)


class _Look(NamedTuple):
    """What the judge said (None: the last step passed), and what the rollout had cost by then."""

    analysis: Analysis | None
    phase: str
    requests: int
    labels: int


def _judged(
    settings: Rollout, stream: _Stream, longest: int, rng: np.random.Generator
) -> Iterator[_Look]:
    """Every look of a rollout until it fails, its steps are through (None), or time is up."""
    budget = LabelBudget(BUDGET_LABELS)
    requests = labels = 0
    for number, step in enumerate(settings.steps):
        bounds = Bounds.of(settings, step, len(settings.steps))
        looks = (longest - requests) // LOOK
        if looks <= 0:
            return
        room = -(-looks // CHUNK_LOOKS) * CHUNK_LOOKS
        opened = Shadow if step.phase == "shadow" else Live
        phase: Shadow | Live = opened(room, budget, rng)
        name = step.phase if step.phase == "shadow" else f"canary {step.weight} %"
        passed = False
        for look in range(looks):
            if look % CHUNK_LOOKS == 0:
                phase.add(*stream.chunk(step.phase))
            analysis = judge(*phase.look(), bounds)
            yield _Look(analysis, name, requests + (look + 1) * LOOK, labels + phase.labels)
            if analysis.verdict == "fail":
                return
            if analysis.verdict == "pass":
                passed = True
                break
        requests += (look + 1) * LOOK
        labels += phase.labels
        if not passed:
            return
        if number == len(settings.steps) - 1:
            yield _Look(None, name, requests, labels)
