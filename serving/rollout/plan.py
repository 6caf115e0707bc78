"""What a rollout's state wants of the target: which models in which slots, and what traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serving.rollout.phases import Rollout, Stable, baseline_weight
from serving.rollout.targets.base import Deployment, Traffic, TrafficArm


@dataclass(frozen=True)
class Plan:
    """`slots`: models that must run (others go); `traffic`: None means that no model answers."""

    slots: Mapping[str, Deployment]
    traffic: Traffic | None

    def lowers(self, now: Traffic | None, slot: str) -> bool:
        """Whether this plan takes requests, or copies of them, away from the slot."""
        if now is None:
            return False
        share = 0 if self.traffic is None else self.traffic.visible_share(slot)
        mirrored = self.traffic is not None and self.traffic.mirror == slot
        return share < now.visible_share(slot) or (
            now.mirror == slot and not mirrored and not share
        )

    def releases(self, now: Traffic | None, slot: str) -> bool:
        """Whether requests reach the slot now, be it as a stand-in, that will not by this plan.

        So it is where a rollout begins right after another was done, and the new model takes the
        slot of the old champion.
        """
        if now is None or slot not in now.slots.values():
            return False
        stays = self.traffic is not None and slot in self.traffic.slots.values()
        return not stays or self.lowers(now, slot)


def plan(rollout: Rollout | None, stable: Stable | None) -> Plan:
    """The one state of the target that belongs to this state of the store."""
    if rollout is None or not rollout.active:
        return _champion_only(stable)
    if rollout.phase == "rolling_back":
        return _rolling_back(rollout, stable)
    if rollout.phase == "full":
        return _full(rollout, stable)
    step = rollout.current_step
    if stable is None or step is None:
        return _beside(rollout, stable)
    if step.phase == "shadow":
        return _shadow(rollout, stable)
    return _canary(rollout, stable, step.weight)


def _champion_only(stable: Stable | None) -> Plan:
    if stable is None:
        return Plan({}, None)
    return Plan({stable.slot: stable.model}, Traffic({"stable": stable.slot}))


def _rolling_back(rollout: Rollout, stable: Stable | None) -> Plan:
    """Champion only; its baseline still catches what a dying stable server drops."""
    alone = _champion_only(stable)
    if stable is None:
        return alone
    slots: dict[TrafficArm, str] = {"stable": stable.slot, "baseline": rollout.baseline_slot}
    return Plan(alone.slots, Traffic(slots))


def _beside(rollout: Rollout, stable: Stable | None) -> Plan:
    """The new model starts; requests do not know of it."""
    alone = _champion_only(stable)
    return Plan({**alone.slots, rollout.canary_slot: rollout.model}, alone.traffic)


def _shadow(rollout: Rollout, stable: Stable) -> Plan:
    traffic = Traffic({"stable": stable.slot}, mirror=rollout.canary_slot)
    return Plan(_beside(rollout, stable).slots, traffic)


def _canary(rollout: Rollout, stable: Stable, weight: int) -> Plan:
    """The canary beside an equal, freshly started baseline of the champion."""
    baseline = baseline_weight(weight)
    slots: dict[TrafficArm, str] = {
        "stable": stable.slot,
        "baseline": rollout.baseline_slot,
        "canary": rollout.canary_slot,
    }
    weights: dict[TrafficArm, int] = {
        "stable": 100 - weight - baseline,
        "baseline": baseline,
        "canary": weight,
    }
    models = {**_beside(rollout, stable).slots, rollout.baseline_slot: stable.model}
    return Plan(models, Traffic(slots, weights))


def _full(rollout: Rollout, stable: Stable | None) -> Plan:
    slots: dict[TrafficArm, str] = {"canary": rollout.canary_slot}
    if stable is not None:
        slots["stable"] = stable.slot
    return Plan(_beside(rollout, stable).slots, Traffic(slots, {"canary": 100}))
