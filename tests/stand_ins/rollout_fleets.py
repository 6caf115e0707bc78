"""Traffic targets for the rollout controller's machine, with what only a test may see and do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from data_contracts.errors import BadInput
from serving.rollout.targets.base import Deployment, Traffic, TrafficTarget
from tests.stand_ins.crashing import Instants, watched
from tests.stand_ins.memory_target import MemoryTarget


class Fleet(Protocol):
    """A target, and what only a test may see of it and do to it."""

    def new_target(self, instants: Instants) -> TrafficTarget:
        """As a new process would have it."""

    def models(self) -> Mapping[str, Deployment]:
        """What the slots hold in truth."""

    def in_force(self) -> Traffic | None:
        """The traffic that is carried in truth."""

    def answering(self, slot: str) -> bool:
        """Whether requests to the slot are answered in truth."""

    def kill(self, slot: str) -> None: ...
    def hang(self, slot: str) -> None: ...
    def never_ready(self, version: str) -> None: ...
    def drift(self, traffic: Traffic | None) -> None:
        """Somebody else changes the traffic."""


class MemoryFleet:
    """The model of the local target."""

    def __init__(self) -> None:
        self.memory = MemoryTarget()

    def new_target(self, instants: Instants) -> TrafficTarget:
        return self.memory

    def models(self) -> Mapping[str, Deployment]:
        return self.memory.models

    def in_force(self) -> Traffic | None:
        return self.memory.in_force

    def answering(self, slot: str) -> bool:
        return self.memory.answering(slot)

    def kill(self, slot: str) -> None:
        self.memory.dead.add(slot)

    def hang(self, slot: str) -> None:
        self.memory.hung.add(slot)

    def never_ready(self, version: str) -> None:
        self.memory.never_ready.add(version)

    def drift(self, traffic: Traffic | None) -> None:
        self.memory.in_force = traffic


class KServeFleet:
    """The real KServe target on a cluster in memory; every call to its API is an instant too."""

    def __init__(self) -> None:
        from tests.stand_ins.kserve_memory import kserve_target_in_memory

        self.observer = kserve_target_in_memory()

    def new_target(self, instants: Instants) -> TrafficTarget:
        target = self.observer.successor()
        target._cluster = watched(target._cluster, instants)
        return target

    def models(self) -> Mapping[str, Deployment]:
        return self.observer.deployed()

    def in_force(self) -> Traffic | None:
        return self.observer.traffic()

    def answering(self, slot: str) -> bool:
        return self.observer.answering(slot)

    def kill(self, slot: str) -> None:
        self.observer.emulator.kill(slot)
        self.observer.emulator.reconcile()

    def hang(self, slot: str) -> None:
        self.observer.emulator.hang(slot)
        self.observer.emulator.reconcile()

    def never_ready(self, version: str) -> None:
        self.observer.emulator.never_ready.add(version)

    def drift(self, traffic: Traffic | None) -> None:
        with suppress(BadInput):  # the target itself refuses what nobody could answer
            self.observer.set_traffic(traffic)
