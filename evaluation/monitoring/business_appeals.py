"""How often people overturn what was appealed: by reason, language, modality, version.

Who appeals chose to, so these are shares of the appeals that were decided and no false-positive
rate. They still show where a model is wrong more often than elsewhere. A slice raises an alert
when its share of overturned appeals is higher than that of all others by more than chance
explains: Fisher's exact test, one-sided (Fisher 1935), with Holm's correction (Holm 1979) over all
slices that have enough appeals. What remedies granted is not counted: no person decided it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scipy.stats import hypergeom

from data_contracts.alerts import Alert
from evaluation.metrics import Estimate, clopper_pearson
from pipelines.labelling.appeal_records import Appeal

NAME = "AppealsOverturned"
DIMENSIONS = ("reason", "language", "modality", "model_version", "threshold_version")
FEWEST_DECIDED = 10  # in a slice, and outside of it
SIGNIFICANCE = 0.01  # of any false alarm in one look


@dataclass(frozen=True)
class Rate:
    """Of `decided` appeals of a slice, `overturned`; `p_value` that it is no worse than the rest,
    corrected for all slices; None where there are too few to say.
    """

    dimension: str
    value: str
    decided: int
    overturned: int
    rest: Estimate | None = None
    p_value: float | None = None

    @property
    def share(self) -> Estimate:
        """With its Clopper-Pearson interval."""
        return clopper_pearson(self.overturned, self.decided)

    @property
    def is_excessive(self) -> bool:
        return self.p_value is not None and self.p_value < SIGNIFICANCE

    def as_record(self) -> dict[str, Any]:
        share = self.share
        return {
            "dimension": self.dimension, "value": self.value, "decided": self.decided,
            "overturned": self.overturned, "share": share.value, "low": share.low,
            "high": share.high, "p_value": self.p_value, "excessive": self.is_excessive,
        }  # fmt: skip


@dataclass(frozen=True)
class Success:
    """All decided appeals, and each slice of them."""

    decided: int
    overturned: int
    rates: tuple[Rate, ...]

    def as_record(self) -> dict[str, Any]:
        overall = clopper_pearson(self.overturned, self.decided) if self.decided else None
        return {
            "decided": self.decided,
            "overturned": self.overturned,
            "share": None if overall is None else overall.value,
            "low": None if overall is None else overall.low,
            "high": None if overall is None else overall.high,
            "slices": [one.as_record() for one in self.rates],
        }

    def alerts(self, at: datetime) -> list[Alert]:
        """One for each slice in excess."""
        return [_alert(one, at) for one in self.rates if one.is_excessive]


def success(appeals: Sequence[Appeal]) -> Success:
    """Of appeals that people decided."""
    slices: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for appeal in appeals:
        for key in set(_slices(appeal)):
            slices[key].append(appeal.state == "overturned")
    overturned = sum(appeal.state == "overturned" for appeal in appeals)
    plain = [
        Rate(*key, decided=len(outcomes), overturned=sum(outcomes))
        for key, outcomes in sorted(slices.items())
    ]
    return Success(len(appeals), overturned, tuple(_tested(plain, len(appeals), overturned)))


def _slices(appeal: Appeal) -> Iterable[tuple[str, str]]:
    about = appeal.contested
    yield from (("reason", reason) for reason in about.reasons)
    yield from ((name, str(getattr(about, name))) for name in DIMENSIONS if name != "reason")


def _tested(rates: Sequence[Rate], decided: int, overturned: int) -> list[Rate]:
    """Each with its corrected p-value, where there are enough appeals inside and outside."""
    enough = [
        place
        for place, one in enumerate(rates)
        if min(one.decided, decided - one.decided) >= FEWEST_DECIDED
    ]
    raw = {place: _fisher(rates[place], decided, overturned) for place in enough}
    corrected, largest = dict.fromkeys(enough, 1.0), 0.0
    for rank, place in enumerate(sorted(enough, key=lambda one: raw[one])):
        largest = max(largest, min(1.0, raw[place] * (len(enough) - rank)))
        corrected[place] = largest
    return [
        one
        if place not in corrected
        else Rate(
            one.dimension, one.value, one.decided, one.overturned,
            clopper_pearson(overturned - one.overturned, decided - one.decided), corrected[place],
        )
        for place, one in enumerate(rates)
    ]  # fmt: skip


def _fisher(rate: Rate, decided: int, overturned: int) -> float:
    """The chance of so many overturned appeals in the slice, if they fell anywhere alike."""
    return float(hypergeom.sf(rate.overturned - 1, decided, overturned, rate.decided))


def _alert(rate: Rate, at: datetime) -> Alert:
    share, rest = rate.share, rate.rest
    where = f"{rate.dimension} {rate.value}"
    return Alert(
        name=NAME,
        severity_hint="ticket",
        subject={rate.dimension: rate.value},
        value=share.value,
        expected=None if rest is None else rest.value,
        low=share.low,
        high=share.high,
        at=at,
        reason=f"{rate.overturned} of {rate.decided} decided appeals were overturned at {where}, "
        f"{0.0 if rest is None else rest.value:.0%} elsewhere (p = {rate.p_value:.1e}, corrected)",
        likely_cause=f"{where} acts on ordinary users: look at its thresholds, and at "
        "`python -m serving remedy` for what it did already",
    )
