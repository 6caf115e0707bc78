"""One bucket's world: its people, its material and its days; and a post as the scenes make it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from data_contracts.events import MediaReference
from data_contracts.labels import LabelName
from pipelines.simulation.composition.material import Material
from pipelines.simulation.composition.people import Account, Population
from pipelines.simulation.composition.signals import Signals

MARGIN = timedelta(hours=1)
Picked = TypeVar("Picked")
# posts by local hour: a night's trough, noon and a long evening
HOUR_WEIGHTS = np.array(
    [3, 2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7, 8, 8, 7, 7, 7, 8, 9, 10, 10, 9, 7, 5], dtype=float
)


@dataclass(frozen=True)
class Post:
    """One post before it is an event. `recipe` and `signals` are truth that no model sees."""

    account: Account
    at: datetime
    text: str
    recipe: str
    signals: Signals
    media: tuple[MediaReference, ...] = ()
    label: LabelName = "ham"


@dataclass(frozen=True)
class World:
    """What scenes and recipes of one bucket work with; `days` from `start` on, UTC."""

    people: Population
    material: Material
    start: datetime
    days: int
    rng: np.random.Generator

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def moment(self, account: Account) -> datetime:
        """A time within the days, by the hours that people keep where the account lives."""
        hour = int(self.rng.choice(24, p=HOUR_WEIGHTS / HOUR_WEIGHTS.sum()))
        local = timedelta(
            days=int(self.rng.integers(self.days)), hours=hour, seconds=int(self.rng.integers(3600))
        )
        shifted = local - timedelta(minutes=account.utc_offset_minutes)
        return self.start + shifted % timedelta(days=self.days)

    def times(self, count: int, within: timedelta) -> list[datetime]:
        """`count` sorted times within a span that begins at random; MARGIN is left at the end."""
        first = self.begin(within)
        seconds = np.sort(self.rng.uniform(0, within.total_seconds(), count))
        return [first + timedelta(milliseconds=int(value * 1000)) for value in seconds]

    def begin(self, within: timedelta) -> datetime:
        """When a span of that length begins, so that it ends before the days do."""
        room = (timedelta(days=self.days) - within - MARGIN).total_seconds()
        return self.start + timedelta(milliseconds=int(self.rng.uniform(0, max(0.0, room)) * 1000))

    def pick(self, among: Sequence[Picked]) -> Picked:
        return among[int(self.rng.integers(len(among)))]
