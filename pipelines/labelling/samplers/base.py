"""What every sampler takes and gives: a pool of events, and the draws from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pool:
    """The events of one day that may be chosen: a row each, sorted by `event_id`, no repeats.

    `table` has the columns `event_id: string` and `score: float64` (calibrated probability of
    spam; null where no model has scored the event), and any that a sampler asks for by name:
    `pipelines.labelling.shortlist` lists them. `threshold` is the score from which the filter
    acts. A shortlist says of how many events it is one (`population`). `covered: float32[m, d]`
    are embeddings of what reviewers know already. Build it with `Pool.of`, which sorts, so that
    no choice depends on the order in which rows were stored.
    """

    table: pa.Table
    threshold: float = 0.5
    population: int | None = None
    covered: Vectors = field(default_factory=lambda: np.empty((0, 0), np.float32))

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold {self.threshold} is outside 0 to 1; give a probability")
        if self.population is not None and self.population < len(self):
            raise ValueError(
                f"population {self.population} is below the pool's {len(self)} rows; give the "
                "number of events that the pool was shortlisted from"
            )
        ids = self.table["event_id"].combine_chunks()
        if not pc.all(pc.less(ids[:-1], ids[1:]), min_count=0).as_py():
            raise ValueError("pool is not sorted by unique event_id; build it with Pool.of")

    @classmethod
    def of(cls, table: pa.Table, threshold: float = 0.5, population: int | None = None) -> Pool:
        """A pool of these rows in any order; ValueError where an event stands twice."""
        return cls(table.sort_by("event_id"), threshold, population)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def event_ids(self) -> list[str]:
        ids: list[str] = self.table["event_id"].to_pylist()
        return ids

    @property
    def scores(self) -> NDArray[np.float64]:
        """float64[n], NaN where an event has no score."""
        return self.column("score")

    def column(self, name: str) -> NDArray[np.float64]:
        """float64[n] of a numeric column, NaN where it is null or the pool has no such column."""
        if name not in self.table.column_names:
            return np.full(len(self), np.nan)
        values: NDArray[np.float64] = self.table[name].to_numpy().astype(np.float64)
        return values

    @property
    def embeddings(self) -> Vectors:
        """float32[n, d], to be asked of `embedded()` pools: ValueError where one is null."""
        return stacked(self.table["embedding"])

    def scored(self) -> Pool:
        """The part that a model has scored."""
        return self.having("score")

    def embedded(self) -> Pool:
        """The part that has an embedding."""
        if "embedding" not in self.table.column_names:
            return self.where(np.zeros(len(self), bool))
        return self.where(pc.is_valid(self.table["embedding"]))

    def having(self, column: str) -> Pool:
        """The part with a finite value in this column; nothing where there is no such column."""
        return self.where(np.isfinite(self.column(column)))

    def without(self, event_ids: Collection[str]) -> Pool:
        """The pool less these events."""
        known = pc.is_in(self.table["event_id"], value_set=pa.array(event_ids, pa.string()))
        return self.where(pc.invert(known))

    def where(self, kept: pa.ChunkedArray | NDArray[np.bool_]) -> Pool:
        """The rows for which `kept: bool[n]` is true."""
        mask = pa.array(kept) if isinstance(kept, np.ndarray) else kept
        # most arms can judge every event: then no copy is made
        whole = pc.all(mask, skip_nulls=False, min_count=0).as_py()
        table = self.table if whole else self.table.filter(mask)
        return replace(self, table=table, population=self.population or len(self))

    def covering(self, vectors: Vectors) -> Pool:
        """The pool after reviewers were given these, too: `vectors: float32[k, d]`."""
        known = [part for part in (self.covered, vectors) if len(part)]
        return replace(self, covered=np.concatenate(known)) if known else self


@dataclass(frozen=True)
class Draw:
    """One event that an arm chose.

    `strategy` is the arm, or `arm/part` where an arm has parts. `inclusion_probability` is the
    chance, in (0, 1], that a random arm drew it; None for arms that chose it for a reason: their
    labels teach, but say nothing unbiased about the whole.
    """

    event_id: str
    strategy: str
    inclusion_probability: float | None = None

    @property
    def arm(self) -> str:
        """
        >>> Draw("e1", "adversarial/doubt").arm
        'adversarial'
        """
        return self.strategy.partition("/")[0]


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
    """Chooses exactly `budget` different events of those it can judge.

    The same rng chooses the same. ValueError where `budget` exceeds `eligible(pool)`.
    """

    def eligible(self, pool: Pool) -> Pool: ...

    def select(self, pool: Pool, budget: int, rng: np.random.Generator) -> Selection: ...


def check_budget(budget: int, available: int, what: str = "pool") -> None:
    """ValueError for a budget below zero or above what there is."""
    if budget < 0:
        raise ValueError(f"budget {budget} is below zero; give the number of events to choose")
    if budget > available:
        raise ValueError(
            f"budget {budget} exceeds {what} of {available}; lower labelling.budget to {available}"
        )


def stacked(lists: pa.ChunkedArray) -> Vectors:
    """float32[n, d] of a column of lists of one length; ValueError where one is null."""
    if lists.null_count:
        raise ValueError(f"{lists.null_count} events have no embedding; ask pool.embedded()")
    flat = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    width = len(flat) // max(len(lists), 1)
    return np.ascontiguousarray(flat, np.float32).reshape(len(lists), width)


def chosen(pool: Pool, rows: Sequence[int] | Integers, strategy: str) -> Selection:
    """The draws of these rows of the pool, in this order."""
    ids = pool.table["event_id"].take(pa.array(rows, pa.int64())).to_pylist()
    return Selection(tuple(Draw(event_id, strategy) for event_id in ids))


def best_first(values: NDArray[np.float64], rng: np.random.Generator) -> Integers:
    """int64[n]: rows by falling value; ties fall by the rng, not by name or place.

    Scores have six decimals: a difference beyond nine is rounding and counts as a tie.
    """
    return np.lexsort((rng.permutation(len(values)), -np.round(values, 9)))
