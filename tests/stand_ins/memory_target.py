"""A traffic target in memory: servers are ready at the second question, traffic is a value."""

from __future__ import annotations

from collections.abc import Mapping

from serving.rollout.targets.base import Counters, Deployment, Traffic


class MemoryTarget:
    """What tests do to it: `dead` and `hung` are slots, `never_ready` holds versions."""

    def __init__(self) -> None:
        self.models: dict[str, Deployment] = {}
        self.dead: set[str] = set()
        self.hung: set[str] = set()
        self.never_ready: set[str] = set()
        self.asked: dict[str, int] = {}
        self.in_force: Traffic | None = None
        self.answers = 0

    def deploy(self, slot: str, model_uri: str, version: str) -> None:
        if self.models.get(slot) != Deployment(model_uri, version):
            self.models[slot] = Deployment(model_uri, version)
            self.restart(slot)

    def deployed(self) -> Mapping[str, Deployment]:
        return dict(self.models)

    def alive(self, slot: str) -> bool:
        return slot in self.models and slot not in self.dead

    def ready(self, slot: str) -> bool:
        self.asked[slot] = self.asked.get(slot, 0) + 1
        return self.answering(slot)

    def answering(self, slot: str) -> bool:
        """Whether requests to the slot would be answered; asking this changes nothing."""
        able = slot not in self.hung and self.alive(slot)
        return able and self.models[slot].version not in self.never_ready and self.asked[slot] > 1

    def restart(self, slot: str) -> None:
        self.dead.discard(slot)
        self.hung.discard(slot)
        self.asked[slot] = 0

    def remove(self, slot: str) -> None:
        if self.in_force is not None and self.in_force.visible_share(slot):
            raise ValueError(f"slot {slot} answers requests")
        self.models.pop(slot, None)
        self.dead.discard(slot)
        self.hung.discard(slot)

    def set_traffic(self, traffic: Traffic | None) -> None:
        for slot in () if traffic is None else traffic.slots.values():
            assert not traffic.visible_share(slot) or slot in self.models
        self.in_force = traffic

    def traffic(self) -> Traffic | None:
        return self.in_force

    def last_words(self, slot: str) -> str:
        return f"last words of {slot}"

    def counters(self, slot: str) -> Counters:
        return Counters(self.answers, 0)
