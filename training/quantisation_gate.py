"""Which quantised encoder may be used, and which is best: pure decisions on figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST_COSINE = 0.99
MOST_PRECISION_LOST = 0.001


@dataclass(frozen=True)
class Measured:
    """One variant beside its original on the same messages.

    `changed_by_neighbours`: how many vectors differ in any bit between a batch of eight and a
    batch of one. `average_precision_lost` is the original's minus the variant's.
    """

    variant: str
    minimum_cosine: float
    average_precision_lost: float
    changed_by_neighbours: int
    messages_a_cpu_second: float


def refusals(measured: Measured) -> tuple[str, ...]:
    """Why a variant may not be used; empty where it may. What is no number is refused."""
    found = []
    if not measured.minimum_cosine >= LEAST_COSINE:
        found.append(f"minimum cosine {measured.minimum_cosine:.4f} is below {LEAST_COSINE}")
    if not measured.average_precision_lost <= MOST_PRECISION_LOST:
        lost = measured.average_precision_lost
        found.append(f"average precision fell by {lost:.4f}, more than {MOST_PRECISION_LOST}")
    if measured.changed_by_neighbours:
        count = measured.changed_by_neighbours
        found.append(f"{count} vectors depend on their neighbours in a batch")
    return tuple(found)


def best(candidates: Sequence[Measured]) -> Measured | None:
    """The fastest variant that nothing refuses; of equals the first; None where none is left."""
    usable = [one for one in candidates if not refusals(one)]
    return max(usable, key=lambda one: one.messages_a_cpu_second, default=None)
