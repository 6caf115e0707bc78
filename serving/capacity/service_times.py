"""Measured service times as a file: what one event costs, by content kind and pool.

A benchmark writes the file, `python -m serving plan` reads it. All times are milliseconds of one
worker: a core of a CPU pod, or the accelerator of a GPU pod with the cores that feed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import orjson
from numpy.typing import ArrayLike, NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from data_contracts.errors import ContractViolation, MissingPart

Kind = Literal["text", "image", "video", "account"]
KINDS: tuple[Kind, ...] = ("text", "image", "video", "account")
PoolName = Literal["cpu", "gpu"]
Share = Annotated[float, Field(ge=0, le=1)]
Floats = NDArray[np.float64]

FORMAT: Literal[1] = 1
GRID = (0.0, 0.01, *(at / 40 for at in range(1, 40)), 0.99, 1.0)  # probabilities that are kept
REMEDY = (
    "write the file with `python -m tests.performance.service_times`, or mend the field as "
    "serving/capacity/service_times.py describes it"
)


@dataclass(frozen=True)
class Distribution:
    """Quantiles `(probability, milliseconds)` of `samples` measurements, linear in between.

    >>> halves = Distribution(3, ((0.0, 1.0), (0.5, 2.0), (1.0, 6.0)))
    >>> halves.at([0.25, 0.75]).tolist(), halves.mean
    ([1.5, 4.0], 2.75)
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    samples: Annotated[int, Field(ge=1)]
    quantiles: Annotated[tuple[tuple[Share, float], ...], Field(min_length=2)]

    def __post_init__(self) -> None:
        if self.quantiles[0][0] != 0 or self.quantiles[-1][0] != 1:
            raise ValueError("quantiles begin at probability 0 and end at 1")
        if any(high[0] <= low[0] or high[1] < low[1] for low, high in pairwise(self.quantiles)):
            raise ValueError("probabilities rise, and milliseconds never fall with them")
        if not 0 <= self.quantiles[0][1] <= self.quantiles[-1][1] < np.inf:
            raise ValueError("milliseconds are finite and at least 0")

    @classmethod
    def of(cls, milliseconds: ArrayLike) -> Distribution:
        """Of measurements, at least one."""
        found = np.asarray(milliseconds, np.float64)
        at = np.round(np.quantile(found, GRID), 4)
        return cls(len(found), tuple(zip(GRID, at.tolist(), strict=True)))

    def at(self, probabilities: Floats | Sequence[float]) -> Floats:
        """float64[n]: the quantile of each probability in [0, 1]; of uniform numbers, draws."""
        probability, milliseconds = np.array(self.quantiles).T
        return np.asarray(np.interp(probabilities, probability, milliseconds), np.float64)

    @property
    def mean(self) -> float:
        """Of the distribution as it is drawn from."""
        probability, milliseconds = np.array(self.quantiles).T
        middles = (milliseconds[1:] + milliseconds[:-1]) / 2
        return float((np.diff(probability) * middles).sum())


@dataclass(frozen=True)
class ByLabel:
    """A share of the ham and of the spam."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    ham: Share
    spam: Share

    def within(self, spam_share: float) -> float:
        """The share of traffic of which `spam_share` is spam."""
        return self.ham * (1 - spam_share) + self.spam * spam_share


@dataclass(frozen=True)
class KindTimes:
    """What the hot path costs for one content kind in one pool.

    `settled_early` is the share that a cheap stage decides; they cost `early`, the rest `full`.
    `batch_curve`: (events at a time, cost of one relative to one alone); early ones do not gain.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    settled_early: ByLabel
    early: Distribution | None
    full: Distribution
    batch_curve: Annotated[
        tuple[tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0)]], ...],
        Field(min_length=1),
    ] = ((1, 1.0),)

    def __post_init__(self) -> None:
        if self.batch_curve[0] != (1, 1.0):
            raise ValueError("a batch curve begins with one event at the cost of one: [1, 1.0]")
        if any(high[0] <= low[0] for low, high in pairwise(self.batch_curve)):
            raise ValueError("the sizes of a batch curve rise")
        if self.early is None and (self.settled_early.ham or self.settled_early.spam):
            raise ValueError("events are settled early, so `early` says what they cost")


@dataclass(frozen=True)
class Afterwards:
    """Stages that cannot meet the deadline: the share of a kind that needs them, and their cost."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    share: ByLabel
    times: Distribution


@dataclass(frozen=True)
class PoolTimes:
    """`worker` says what hardware one worker is."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    worker: str
    kinds: Mapping[Kind, KindTimes]


@dataclass(frozen=True)
class ServiceTimes:
    """`origin` says what was measured and how, `machine` where; both stand in every plan.

    `overhead_milliseconds` is what a request costs beside its stages: HTTP, checks, its record.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    format: Literal[1]
    origin: Annotated[str, Field(min_length=1)]
    machine: Annotated[str, Field(min_length=1)]
    measured_at: str
    commit: str
    overhead_milliseconds: Annotated[float, Field(ge=0)]
    pools: Mapping[PoolName, PoolTimes]
    afterwards: Mapping[Kind, Afterwards]

    def __post_init__(self) -> None:
        if "cpu" not in self.pools:
            raise ValueError("the pool `cpu` is missing; text and account actions run there")

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


_READER = TypeAdapter(ServiceTimes)
SAMPLE = Path(__file__).with_name("service_times.json")


def read_service_times(path: Path) -> ServiceTimes:
    """MissingPart where there is no file; ContractViolation names the field that is wrong."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MissingPart(
            f"--service-times {path}: {error.strerror}; leave it out for the committed sample, "
            "or write one with `python -m tests.performance.service_times`"
        ) from None
    try:
        return _READER.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "file"
        value = None if first["type"] == "missing" else first.get("input")
        raise ContractViolation(field, value, first["msg"], REMEDY, where=str(path)) from None


def encoded(times: ServiceTimes) -> bytes:
    """The file's bytes."""
    return orjson.dumps(times.as_record(), option=orjson.OPT_INDENT_2)
