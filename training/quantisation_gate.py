"""Which quantised encoder may be used, and which is best: pure decisions on figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LEAST_COSINE = 0.99
MOST_PRECISION_LOST = 0.001

Use = Literal["quantised", "cuda"]


@dataclass(frozen=True)
class Measured:
    """One variant beside its original on the same messages.

    `changed_by_neighbours`: how many vectors differ in any bit between a batch of eight and a
    batch of one; `batch` is how many texts the variant is therefore given at once, in use and
    where its rate was measured. `average_precision_lost` is the original's minus the variant's.
    """

    variant: str
    use: Use
    minimum_cosine: float
    average_precision_lost: float
    changed_by_neighbours: int
    batch: int
    messages_a_cpu_second: float


def batch_for(changed_by_neighbours: int, size: int) -> int:
    """How many texts at once: one, as soon as a neighbour can move a vector.

    >>> batch_for(0, 8), batch_for(1, 8)
    (8, 1)
    """
    return 1 if changed_by_neighbours else size


def refusals(measured: Measured) -> tuple[str, ...]:
    """Why a variant may not be used; empty where it may. What is no number is refused."""
    found = []
    if not measured.minimum_cosine >= LEAST_COSINE:
        found.append(f"minimum cosine {measured.minimum_cosine:.4f} is below {LEAST_COSINE}")
    if not measured.average_precision_lost <= MOST_PRECISION_LOST:
        lost = measured.average_precision_lost
        found.append(f"average precision fell by {lost:.4f}, more than {MOST_PRECISION_LOST}")
    return tuple(found)


def best(candidates: Sequence[Measured], use: Use) -> Measured | None:
    """The fastest of a use that nothing refuses; of equals the first; None where none is left."""
    usable = [one for one in candidates if one.use == use and not refusals(one)]
    return max(usable, key=lambda one: one.messages_a_cpu_second, default=None)
