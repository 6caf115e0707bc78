"""What every sampler takes and gives: a pool of events, and the draws from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


@dataclass(frozen=True)
class Pool:
    """The events of one day that may be chosen: a row each, sorted by `event_id`, no repeats.

    `table` has the columns `event_id: string` and `score: float64` (calibrated probability of
    spam; null where no model has scored the event), and any that a sampler asks for by name.
    `threshold` is the score from which the filter acts. Build it with `Pool.of`, which sorts,
    so that no choice depends on the order in which rows were stored.
    """

    table: pa.Table
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold {self.threshold} is outside 0 to 1; give a probability")
        ids = self.table["event_id"].combine_chunks()
        if not pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py():
            raise ValueError("pool is not sorted by unique event_id; build it with Pool.of")

    @classmethod
    def of(cls, table: pa.Table, threshold: float = 0.5) -> Pool:
        """A pool of these rows in any order; ValueError where an event stands twice."""
        return cls(table.sort_by("event_id"), threshold)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def event_ids(self) -> list[str]:
        ids: list[str] = self.table["event_id"].to_pylist()
        return ids

    @property
    def scores(self) -> NDArray[np.float64]:
        """float64[n], NaN where an event has no score."""
        scores: NDArray[np.float64] = self.table["score"].to_numpy().astype(np.float64)
        return scores

    def scored(self) -> Pool:
        """The part that a model has scored."""
        return Pool(self.table.filter(pc.is_finite(self.table["score"])), self.threshold)

    def without(self, event_ids: Collection[str]) -> Pool:
        """The pool less these events."""
        known = pc.is_in(self.table["event_id"], value_set=pa.array(event_ids, pa.string()))
        return Pool(self.table.filter(pc.invert(known)), self.threshold)


@dataclass(frozen=True)
class Draw:
    """One event that an arm chose.

    `inclusion_probability` is the chance, in (0, 1], that a random arm drew it; None for arms
    that chose it for a reason: their labels teach, but say nothing unbiased about the whole.
    """

    event_id: str
    strategy: str
    inclusion_probability: float | None = None


@dataclass(frozen=True)
class Selection:
    """What was chosen, the most wanted first."""

    draws: tuple[Draw, ...]

    @property
    def event_ids(self) -> tuple[str, ...]:
        return tuple(draw.event_id for draw in self.draws)

    def counts(self) -> dict[str, int]:
        """How many events each strategy chose."""
        return dict(sorted(Counter(draw.strategy for draw in self.draws).items()))


class Sampler(Protocol):
    """Chooses exactly `budget` different events of the pool; the same rng chooses the same."""

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection: ...


def check_budget(budget: int, available: int, what: str = "pool") -> None:
    """ValueError for a budget below zero or above what there is."""
    if budget < 0:
        raise ValueError(f"budget {budget} is below zero; give the number of events to choose")
    if budget > available:
        raise ValueError(
            f"budget {budget} exceeds {what} of {available}; lower labelling.budget to {available}"
        )
