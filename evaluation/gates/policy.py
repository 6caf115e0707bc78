"""Gate policies as typed data: bounds, limits and minimum samples, each with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data_contracts.errors import ConfigurationError
from data_contracts.reports import GateVerdict
from evaluation.metrics import Estimate

FigureName = Literal["average_precision", "recall", "false_positive_rate"]
SliceName = Literal["language", "dataset"]
Count = Annotated[int, Field(ge=1)]


class Part(BaseModel):
    """A frozen part of the policy that rejects unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(Part):
    """`bound` holds the estimate, `limit` the worse end of its interval."""

    better: Literal["high", "low"]
    bound: float
    limit: float
    reason: Annotated[str, Field(min_length=20)]

    @model_validator(mode="after")
    def _limit_lies_beyond_bound(self) -> Self:
        if (self.limit > self.bound) == (self.better == "high") and self.limit != self.bound:
            raise ValueError(f"limit {self.limit} must lie on the worse side of {self.bound}")
        return self

    @property
    def direction(self) -> Literal["at_least", "at_most"]:
        return "at_least" if self.better == "high" else "at_most"

    def judge(self, estimate: Estimate) -> GateVerdict:
        """Three ways: beyond the bound fails; an interval beyond the limit proves nothing.

        >>> rule = Rule(better="low", bound=0.02, limit=0.06, reason="an example of a ceiling")
        >>> [rule.judge(Estimate(v, 0, h)) for v, h in ((0.0, 0.05), (0.0, 0.2), (0.03, 0.05))]
        ['pass', 'not_enough_evidence', 'fail']
        """
        sign = 1 if self.better == "high" else -1
        if sign * estimate.value < sign * self.bound:
            return "fail"
        worse_end = estimate.low if self.better == "high" else estimate.high
        return "pass" if sign * worse_end >= sign * self.limit else "not_enough_evidence"


class Minimum(Part):
    """How many rows of each kind a figure needs before it is judged."""

    spam: Count
    ham: Count


class Slices(Part):
    by: tuple[SliceName, ...]
    minimum: Minimum
    figures: dict[FigureName, Rule]


class Golden(Part):
    owner: str
    resamples: Count
    minimum: Minimum
    figures: dict[FigureName, Rule]
    slices: Slices
    champion: dict[FigureName, Rule]


class AttackRule(Rule):
    """The attack's strength, and the rule for the share of caught spam that then escapes."""

    rate: Annotated[float, Field(gt=0, le=1)]


class MinimumCaught(Part):
    caught: Count


class Adversarial(Part):
    owner: str
    seed: int
    resamples: Count
    minimum: MinimumCaught
    attacks: dict[str, AttackRule]
    champion: Rule


class Fairness(Part):
    owner: str
    resamples: Count
    by: SliceName
    minimum: Minimum
    minimum_slices: Annotated[int, Field(ge=2)]
    false_positive_gap: Rule
    recall: Rule
    champion: Rule


class Policy(Part):
    """The whole file, a section a gate."""

    golden: Golden
    adversarial: Adversarial
    fairness: Fairness


def load_policy(path: Path) -> Policy:
    """Read and check the file. ConfigurationError names the key, its value and the remedy."""
    if not path.is_file():
        raise ConfigurationError(f"gates.policy = {path}: no such file; restore it or set its path")
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}; mend it") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"{path}: {key} = {first.get('input')!r}: {first['msg']}; mend this key"
        ) from None
