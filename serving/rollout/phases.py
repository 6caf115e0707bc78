"""The life of a rollout as a table, and the pure function that reads it.

    pending ─▶ shadow ─▶ canary (once a step) ─▶ full ─▶ done
                 ╰── paused ──╯        any of them ─▶ rolling_back ─▶ rolled_back | aborted

A first champion has nothing to be compared with: it goes pending → full → done. Nothing here
reads a clock, a file or a server; the controller acts on what `next_phase` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from data_contracts.config import RolloutStep
from data_contracts.errors import ConfigurationError
from serving.rollout.analysis import Analysis
from serving.rollout.targets.base import Deployment

Phase = Literal[
    "pending", "shadow", "canary", "paused", "full", "done",
    "rolling_back", "rolled_back", "aborted",
]  # fmt: skip
Request = Literal["pause", "resume", "promote", "abort"]
Signal = Literal["applied", "pass", "fail", "late", "broken", "pause", "resume", "promote", "abort"]
Signals = list[tuple[Signal, str]]
FORWARD = "forward"  # to the next step, or to full after the last
BACK = "back"  # to the step that was paused
END = "end"  # to aborted where somebody asked for it, else to rolled_back
TERMINAL: tuple[Phase, ...] = ("done", "rolled_back", "aborted")
FULL_SECONDS = 2.0

_LEAVES: dict[Signal, str] = {
    "abort": "rolling_back",
    "broken": "rolling_back",
    "late": "rolling_back",
}
_JUDGED: dict[Signal, str] = {
    **_LEAVES,
    "fail": "rolling_back",
    "pause": "paused",
    "promote": FORWARD,
    "pass": FORWARD,
}
# phase → what may happen there → where it leads
TABLE: dict[Phase, dict[Signal, str]] = {
    "pending": {**_LEAVES, "applied": FORWARD},
    "shadow": _JUDGED,
    "canary": _JUDGED,
    "paused": {**_LEAVES, "fail": "rolling_back", "resume": BACK},
    "full": {**_LEAVES, "applied": "done"},
    "rolling_back": {"applied": END},
    "done": {},
    "rolled_back": {},
    "aborted": {},
}


@dataclass(frozen=True)
class Stable:
    """The champion as it stands in traffic: its slot and model."""

    slot: str
    model: Deployment


@dataclass(frozen=True)
class Rollout:
    """Where a rollout is. `step` indexes `steps`, -1 before them; `first`: no champion yet.

    `entered_at` is when the phase was decided, `applied_at` when the target had carried it out
    (None until then): evidence counts from there.
    """

    id: int
    model: Deployment
    canary_slot: str
    baseline_slot: str
    steps: tuple[RolloutStep, ...]
    first: bool
    phase: Phase
    step: int
    entered_at: datetime
    applied_at: datetime | None = None
    request: Request | None = None
    restarts: int = 0
    reason: str = ""

    @property
    def version(self) -> str:
        return self.model.version

    @property
    def active(self) -> bool:
        return self.phase not in TERMINAL

    @property
    def is_return(self) -> bool:
        """Without steps although there is a champion: one of before comes back."""
        return not self.steps and not self.first

    @property
    def current_step(self) -> RolloutStep | None:
        """The step that is being judged, also while it is paused."""
        judged = self.phase in ("shadow", "canary", "paused")
        return self.steps[self.step] if judged else None

    @property
    def label(self) -> str:
        """The phase for people: `canary 10 %`."""
        step = self.current_step
        if step is None:
            return self.phase
        name = step.phase if step.phase == "shadow" else f"canary {step.weight} %"
        return f"paused in {name}" if self.phase == "paused" else name


@dataclass(frozen=True)
class Deadlines:
    """Seconds that a server may take to become ready, and that a phase may take to pass."""

    start_seconds: float
    progress_seconds: float


@dataclass(frozen=True)
class Transition:
    """The decision to leave a phase, with its reason in words."""

    phase: Phase
    step: int
    reason: str


def next_phase(
    rollout: Rollout,
    analysis: Analysis | None,
    now: datetime,
    deadlines: Deadlines,
    broken: str | None = None,
) -> Transition | None:
    """Where the rollout goes now, or None to stay.

    `analysis` is None while there is nothing to judge; `broken` says why the rollout cannot go
    on whatever its figures (its server died twice, its approval is gone).
    """
    for signal, reason in _signals(rollout, analysis, now, deadlines, broken):
        target = TABLE[rollout.phase].get(signal)
        if target is not None:
            phase, step = _resolve(target, rollout)
            return Transition(phase, step, reason)
    return None


def check_steps(steps: Sequence[RolloutStep]) -> None:
    """Raises ConfigurationError unless the steps are shadow first, then growing canary weights."""
    kinds = [step.phase for step in steps]
    weights = [step.weight for step in steps if step.phase == "canary"]
    if kinds != sorted(kinds, reverse=True):
        raise ConfigurationError(f"rollout.steps = {kinds}: put shadow before every canary step")
    if weights != sorted(set(weights)) or any(not 0 < weight < 100 for weight in weights):
        raise ConfigurationError(
            f"rollout.steps: canary weights {weights}: give growing percentages from 1 to 99; "
            "full follows the last step by itself"
        )


def baseline_weight(canary_weight: int) -> int:
    """The baseline's equal share, as far as there is room: 10 → 10, 50 → 50, 80 → 20."""
    return min(canary_weight, 100 - canary_weight)


def _signals(
    rollout: Rollout,
    analysis: Analysis | None,
    now: datetime,
    deadlines: Deadlines,
    broken: str | None,
) -> Signals:
    """What is the case, the gravest first."""
    found: Signals = []
    if rollout.request == "abort":
        found.append(("abort", "aborted on request"))
    if broken is not None:
        found.append(("broken", broken))
    if analysis is not None and analysis.verdict == "fail":
        found.append(("fail", analysis.reason))
    if rollout.request is not None and rollout.request != "abort":
        found.append((rollout.request, f"{rollout.request} on request"))
    return [*found, *_progress(rollout, analysis, now, deadlines)]


def _progress(
    rollout: Rollout, analysis: Analysis | None, now: datetime, deadlines: Deadlines
) -> Signals:
    """Whether the phase has done its work, or has taken too long to."""
    found: Signals = []
    step = rollout.current_step
    if rollout.applied_at is not None:
        for_seconds = (now - rollout.applied_at).total_seconds()
        if step is None and for_seconds >= (FULL_SECONDS if rollout.phase == "full" else 0):
            found.append(("applied", _APPLIED_REASONS.get(rollout.phase, "")))
        passed = analysis is not None and analysis.verdict == "pass"
        if analysis is not None and passed and step and for_seconds >= step.minimum_seconds:
            found.append(("pass", analysis.reason))
    allowed = deadlines.start_seconds if step is None else deadlines.progress_seconds
    if rollout.phase not in ("paused", "rolling_back") and now > (
        rollout.entered_at + timedelta(seconds=allowed)
    ):
        found.append(("late", _late(rollout, analysis, allowed)))
    return found


_APPLIED_REASONS: dict[Phase, str] = {
    "pending": "the model server is ready",
    "full": "all requests went to the new champion",
}


def _late(rollout: Rollout, analysis: Analysis | None, allowed_seconds: float) -> str:
    if rollout.applied_at is None:
        return f"no model server was ready within {allowed_seconds:.0f} s"
    missing = analysis.reason if analysis is not None else "nothing was measured"
    return f"no verdict within {allowed_seconds:.0f} s: {missing}"


def _resolve(target: str, rollout: Rollout) -> tuple[Phase, int]:
    if target == FORWARD:
        return _forward(rollout)
    if target == BACK:
        return rollout.steps[rollout.step].phase, rollout.step
    if target == END:
        return ("aborted" if rollout.request == "abort" else "rolled_back"), rollout.step
    for phase in TABLE:
        if phase == target:
            return phase, rollout.step
    raise ValueError(f"{target!r} is no phase")  # a misspelt table


def _forward(rollout: Rollout) -> tuple[Phase, int]:
    following = rollout.step + 1
    if rollout.first or following >= len(rollout.steps):
        return "full", rollout.step
    return rollout.steps[following].phase, following
