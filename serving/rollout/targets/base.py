"""The interface between the rollout controller and the thing that carries traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

TrafficArm = Literal["stable", "baseline", "canary"]


@dataclass(frozen=True)
class Deployment:
    """A model in a slot: its registry version and the URI that it is loaded from."""

    model_uri: str
    version: str


@dataclass(frozen=True)
class Counters:
    """What a slot has answered since its gateway started: requests, and those that failed."""

    requests: int
    errors: int

    def since(self, earlier: Counters) -> Counters:
        """The difference; a counter that went back (a restarted gateway) starts from zero.

        >>> Counters(10, 2).since(Counters(4, 1))
        Counters(requests=6, errors=1)
        >>> Counters(3, 0).since(Counters(4, 1))
        Counters(requests=3, errors=0)
        """
        if self.requests < earlier.requests:
            return self
        return Counters(self.requests - earlier.requests, self.errors - earlier.errors)


@dataclass(frozen=True)
class Traffic:
    """One point in the space of rollouts: who answers what share, and who only listens.

    `slots` says which slot stands for which arm, `weights` the percent of requests that an arm
    answers, `mirror` the slot that gets a copy of every request and whose answers are dropped.
    An arm with weight 0 stays a fallback of the others. Raises ValueError for a point that is
    none: a weight outside 0 to 100, a sum other than 100, a weight without a slot.
    """

    slots: Mapping[TrafficArm, str]
    weights: Mapping[TrafficArm, int] = field(default_factory=lambda: {"stable": 100})
    mirror: str | None = None

    def __post_init__(self) -> None:
        for arm, weight in self.weights.items():
            if not 0 <= weight <= 100:
                raise ValueError(f"weight of {arm} is {weight}; give a percentage from 0 to 100")
            if weight and arm not in self.slots:
                raise ValueError(f"{arm} has weight {weight} but no slot; deploy it first")
        if sum(self.weights.values()) != 100:
            raise ValueError(f"weights {dict(self.weights)} sum to {sum(self.weights.values())}, "
                             "not to 100")  # fmt: skip
        if len(set(self.slots.values())) != len(self.slots):
            raise ValueError(f"slots {dict(self.slots)} give one slot to two arms")
        if self.mirror is not None and self.visible_share(self.mirror):
            raise ValueError(f"slot {self.mirror} is mirrored to and answers requests as well")

    def visible_share(self, slot: str) -> int:
        """Percent of requests that this slot answers."""
        return sum(self.weights.get(arm, 0) for arm, name in self.slots.items() if name == slot)

    def fallbacks(self, slot: str) -> tuple[str, ...]:
        """Who answers where `slot` fails, in order: champions only, never the new model.

        A slot that is only mirrored to has none: a copy is never worth a second try.
        """
        if slot not in self.slots.values() or slot == self.mirror:
            return ()
        champions = (self.slots.get("stable"), self.slots.get("baseline"))
        return tuple(name for name in champions if name is not None and name != slot)


class TrafficTarget(Protocol):
    """Slots that hold model servers, and a gateway in front of them. Every call is idempotent."""

    def deploy(self, slot: str, model_uri: str, version: str) -> None:
        """Have this model in the slot, in place of any other; returns before it is ready.

        The same model is left alone, even where its server died: see `alive` and `restart`.
        """

    def deployed(self) -> Mapping[str, Deployment]:
        """What the slots are meant to hold, dead servers included."""

    def alive(self, slot: str) -> bool:
        """Whether the slot's server exists; ready or not."""

    def ready(self, slot: str) -> bool:
        """Whether the server has answered a prediction and the gateway sees it healthy."""

    def restart(self, slot: str) -> None:
        """End the slot's server, dead or hanging, and start it anew; returns at once."""

    def remove(self, slot: str) -> None:
        """Drain the slot, stop its server, forget it. Never called on a slot with weight."""

    def set_traffic(self, traffic: Traffic | None) -> None:
        """Carry traffic so; returns when the gateway does. None: there is no model yet."""

    def traffic(self) -> Traffic | None:
        """What was set last."""

    def last_words(self, slot: str) -> str:
        """The end of the log of the slot's server, for a message about its death."""

    def counters(self, slot: str) -> Counters:
        """Answers of the slot as the gateway counts them, copies of requests included."""
