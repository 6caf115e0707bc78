"""`slo.yaml`, typed and checked: objectives, and the burn rates at which they alert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.yaml_files import read_yaml

FILE = Path(__file__).parent / "slo.yaml"
UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}

Duration = Annotated[str, Field(pattern=r"^[1-9]\d*[mhd]$")]


class Part(BaseModel):
    """A frozen part of the file that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Burn(Part):
    """When an objective alerts: its budget burns `rate` times too fast over both windows."""

    rate: Annotated[float, Field(gt=0)]
    long: Duration
    short: Duration
    wait: Annotated[Duration, Field(alias="for")]
    severity: Literal["page", "ticket"]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not seconds(self.wait) <= seconds(self.short) < seconds(self.long):
            raise ValueError(
                f"for {self.wait}, short {self.short}, long {self.long}: give them in this order"
            )
        return self


class Objective(Part):
    """A promise. Its share of bad comes from requests (`all`, with `good` or `bad`), from the
    time that `stale` was 1, or as `share` from elsewhere: PromQL each.
    """

    alert: Annotated[str, Field(pattern=r"^Weir[A-Za-z]+$")]
    objective: Annotated[float, Field(gt=0, lt=1)]
    promise: str
    summary: Annotated[str, Field(pattern=r"\{window\}")]
    action: Annotated[str, Field(pattern=r"\.$")]
    runbook: str
    dashboard: str
    burns: Annotated[tuple[str, ...], Field(min_length=1)]
    all: str | None = None
    good: str | None = None
    bad: str | None = None
    stale: str | None = None
    share: str | None = None

    @property
    def budget(self) -> float:
        """The share that may be bad, free of the error of binary fractions.

        >>> round(1 - 0.999, 12)
        0.001
        """
        return round(1 - self.objective, 12)

    @property
    def counts_requests(self) -> bool:
        return self.all is not None

    @model_validator(mode="after")
    def _measured_one_way(self) -> Self:
        given = {name for name in ("all", "good", "bad", "stale", "share") if getattr(self, name)}
        if given not in ({"all", "good"}, {"all", "bad"}, {"stale"}, {"share"}):
            raise ValueError(
                f"measured by {sorted(given)}; give all and good or bad, stale, or share"
            )
        return self


class Objectives(Part):
    """The whole file. A budget is spent over `days`."""

    days: Annotated[int, Field(ge=1)]
    least_bad: Annotated[int, Field(ge=1)]
    burns: dict[str, Burn]
    objectives: dict[Annotated[str, Field(pattern=r"^[a-z_]+$")], Objective]

    @model_validator(mode="after")
    def _burns_are_known(self) -> Self:
        for name, objective in self.objectives.items():
            if unknown := set(objective.burns) - self.burns.keys():
                raise ValueError(f"{name}: burns {sorted(unknown)} are none of {list(self.burns)}")
        return self


def seconds(duration: str) -> int:
    """Of a PromQL duration of one unit.

    >>> seconds("6h")
    21600
    """
    return int(duration[:-1]) * UNIT_SECONDS[duration[-1]]


def read(path: Path = FILE) -> Objectives:
    """Raises ConfigurationError that names the field and its value."""
    return read_yaml(Objectives, path)
