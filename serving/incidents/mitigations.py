"""The mitigations by name, as playbooks call them, on the configured parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from pipelines import switches
from serving.incidents.held_switch import HeldSwitch
from serving.incidents.mitigation import Mitigation
from serving.incidents.playbooks import Limits, MitigationName, check_parameters
from serving.incidents.releases import (
    AbortRollout,
    Refusal,
    RollBackRelease,
    ShadowForInvestigation,
)
from serving.incidents.sample_now import Runs, SampleNow
from serving.rollout.store import Clock, RolloutStore

SERVER = "model server"


def mitigations(
    engine: Engine,
    rollouts: RolloutStore,
    slots: Sequence[str],
    limits: dict[MitigationName, Limits],
    clock: Clock,
    refusal: Refusal,
    sampling: Runs | None = None,
) -> dict[MitigationName, Mitigation]:
    """One implementation of every mitigation that has limits; `sampling`: Airflow's runs of it."""

    def switch(name: MitigationName, held: switches.Name, field: str = "") -> HeldSwitch:
        def value(parameters: Mapping[str, Any]) -> dict[str, Any]:
            check_parameters(name, dict(parameters), limits)
            inner = parameters.get(field)
            return dict(inner) if isinstance(inner, Mapping) else dict(parameters)

        heeded_by = None if held == switches.FREEZE_TRAINING else SERVER  # a step asks as it begins
        return HeldSwitch(engine, held, value, clock, heeded_by)

    def check_sampling(parameters: Mapping[str, Any]) -> None:
        check_parameters("sample_now", dict(parameters), limits)

    def released_within() -> timedelta:
        hours = limits["roll_back_release"].released_within_hours
        return timedelta.max if hours is None else timedelta(hours=hours)

    made: dict[MitigationName, Callable[[], Mitigation]] = {
        "abort_rollout": lambda: AbortRollout(rollouts),
        "roll_back_release": lambda: RollBackRelease(
            rollouts, engine, slots, released_within(), refusal
        ),
        "shadow_for_investigation": lambda: ShadowForInvestigation(rollouts, slots),
        "prefilter_only": lambda: switch("prefilter_only", switches.PREFILTER_ONLY),
        "loosen_thresholds": lambda: switch("loosen_thresholds", switches.THRESHOLD_SHIFT),
        "tighten_thresholds": lambda: switch("tighten_thresholds", switches.THRESHOLD_SHIFT),
        "shed": lambda: switch("shed", switches.ADMISSION_SHARES, "shares"),
        "freeze_training": lambda: switch("freeze_training", switches.FREEZE_TRAINING),
        "sample_now": lambda: SampleNow(sampling, check_sampling, clock),
    }
    return {name: made[name]() for name in limits}
