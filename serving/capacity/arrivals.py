"""When requests arrive: an open Poisson stream, or one whose rate itself comes in bursts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bursts:
    """The rate holds for `seconds`, each time times a Gamma factor of mean 1.

    `variation` is the coefficient of variation of that factor; 0 is a plain Poisson stream. A
    doubly stochastic (Cox) process (Cox 1955): the same bursts reach every pod of a pool.
    """

    variation: float = 0.0
    seconds: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.variation <= 3 or not self.seconds > 0:
            raise ValueError(
                f"bursts of variation {self.variation} for {self.seconds} s; give a variation of "
                "0 (Poisson) to 3 and more than 0 s"
            )


def unit_arrivals(count: int, rng: np.random.Generator) -> Floats:
    """float64[count]: a Poisson process of rate 1; every other rate is this one in other time."""
    return np.cumsum(rng.exponential(size=count))


def factors(count: int, bursts: Bursts, rng: np.random.Generator) -> Floats:
    """float64[count]: the factors on the rate of so many bursts; 1 without bursts."""
    if bursts.variation == 0:
        return np.ones(count)
    shape = bursts.variation**-2
    return rng.gamma(shape, 1 / shape, count)


def arrival_milliseconds(
    unit: Floats, rate: float, bursts: Bursts, burst_factors: Floats
) -> Floats:
    """float64[n]: when requests arrive at a mean of `rate` a second, in milliseconds.

    `burst_factors` are repeated where the stream lasts longer than they do.

    >>> arrival_milliseconds(np.array([1.0, 2.0]), 100.0, Bursts(), np.ones(1)).tolist()
    [10.0, 20.0]
    """
    even = 1000 / rate * unit
    if bursts.variation == 0:
        return even
    width = 1000 * bursts.seconds
    edges, mass = [0.0], [0.0]
    while mass[-1] < even[-1]:
        factor = burst_factors[(len(edges) - 1) % len(burst_factors)]
        edges.append(edges[-1] + width)
        mass.append(mass[-1] + factor * width)
    return np.interp(even, mass, edges)
