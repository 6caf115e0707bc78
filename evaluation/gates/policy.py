"""Gate policies as typed data: bounds, limits and minimum samples, each with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.reports import GateVerdict
from data_contracts.yaml_files import read_yaml
from evaluation.metrics import Estimate

FigureName = Literal[
    "average_precision", "recall", "false_positive_rate", "expected_calibration_error"
]
RateName = Literal["recall", "false_positive_rate"]
NamedKind = Literal["must_catch", "must_not_block"]
GroupName = Literal["language", "dialect", "identity", "account_age", "region"]
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
    """`by`: `language`, `dataset`, `modality`, or any attribute of the cases, as `family`."""

    by: tuple[str, ...]
    minimum: Minimum
    figures: dict[RateName, Rule]


class PairedSlices(Slices):
    """Against the champion, slice by slice. A rule's `bound` fails what is surely beyond it.

    Sure is a p below `significance` after Holm's correction for all slices of a figure; so a slice
    does not fail by chance because there are many. `limit` holds the worse end of the interval.
    """

    significance: Annotated[float, Field(gt=0, lt=0.5)]


class Seen(Part):
    """How much of a kind of cases may be among the training rows; `minimum` cases decide."""

    minimum: Count
    kinds: dict[Literal["ordinary", NamedKind], Rule]


class Promise(Part):
    """Thresholds are fitted for a false-positive rate: fails what is surely above `times` it."""

    times: Annotated[float, Field(ge=1)]
    confidence: Annotated[float, Field(gt=0.5, lt=1)]
    minimum_ham: Count
    reason: Annotated[str, Field(min_length=20)]


class Calibration(Part):
    """Of Cox's recalibration: fails a slope surely outside `slope`, or an offset beyond `offset`.

    The offset is in log-odds, either way.
    """

    minimum: Minimum
    slope: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1)]]
    offset: Annotated[float, Field(gt=0)]
    reason: Annotated[str, Field(min_length=20)]


class WithoutContext(Part):
    """What may be lost when every context entry is taken from the cases that have some."""

    minimum: Minimum
    figures: dict[FigureName, Rule]


class Forgotten(Part):
    """How many languages that the champion was taught a model may not have been taught.

    Counts languages with at least `minimum` ordinary cases.
    """

    most: Annotated[int, Field(ge=0)]
    minimum: Count
    reason: Annotated[str, Field(min_length=20)]


class Reach(Part):
    """Rules for cases far from the training rows, by slice: `zero_shot=language`, …; may be none.

    Without a rule, or with fewer cases than the minimum, a figure is shown and not judged.
    """

    minimum: Minimum
    forgotten: Forgotten
    rules: dict[
        Literal["zero_shot=corpus", "zero_shot=language", "time=after_training"],
        dict[RateName, Rule],
    ]


class Golden(Part):
    owner: str
    resamples: Count
    minimum: Minimum
    named: dict[NamedKind, Rule]
    figures: dict[FigureName, Rule]
    slices: Slices
    promise: Promise
    calibration: Calibration
    seen: Seen
    without_context: WithoutContext
    reach: Reach
    champion: dict[FigureName, Rule]
    champion_slices: PairedSlices


class AttackRule(Rule):
    """The attack's strength, and the rule for the share of caught spam that then escapes.

    `champion` is the rule beside the champion where it is not that of all attacks.
    """

    rate: Annotated[float, Field(gt=0, le=1)]
    champion: Rule | None = None


class MinimumCaught(Part):
    """`caught` spam for a judgement, `ham` for the threshold of the search."""

    caught: Count
    ham: Count


class Sample(Part):
    """How many events at most: of text alone, and with media, which take a network each."""

    text: Count
    media: Annotated[int, Field(ge=0)]


class AttackSearch(Part):
    """The black-box attacker: its budget, its moves, and what may escape it."""

    owner: str
    seed: int
    queries: Count
    spam: Sample
    ham: Sample
    false_positive_rate: Annotated[float, Field(gt=0, lt=1)]
    attacks: Annotated[tuple[str, ...], Field(min_length=1)]
    evasion: Rule
    champion: Rule


class Adversarial(Part):
    """Each attack with its strength, which is also the greatest that the search may use."""

    owner: str
    seed: int
    resamples: Count
    minimum: MinimumCaught
    sample: Sample
    attacks: dict[str, AttackRule]
    champion: Rule
    search: AttackSearch

    @model_validator(mode="after")
    def _search_uses_listed_attacks(self) -> Self:
        unknown = [name for name in self.search.attacks if name not in self.attacks]
        if unknown:
            raise ValueError(f"search.attacks names {unknown[0]}, which is not under attacks")
        return self


class IdentitySet(Part):
    """A catalogue set of ordinary speech: at most `each` cases a slice; `pairs` to be compared."""

    each: Count
    pairs: bool = False


class Identity(Part):
    """Sets, and what holds in each: no group may be over-blocked, no swap may flip an action."""

    sets: dict[str, IdentitySet]
    minimum_ham: Count
    minimum_pairs: Count
    false_positive_rate: Rule
    functional_failure: Rule
    false_positive_gap: Rule
    dialect_gap: Rule
    flip_rate: Rule


class HarmWeight(Part):
    """How much a false positive on one of these groups' ordinary speech weighs."""

    by: GroupName
    groups: tuple[str, ...]
    weight: Annotated[float, Field(ge=1)]
    reason: Annotated[str, Field(min_length=20)]


class Harm(Part):
    """Weighted false positives per 1,000 ordinary messages; a message without a weight has 1."""

    weights: tuple[HarmWeight, ...]
    traffic: Rule
    identity: Rule


class Fairness(Part):
    """`by` slices the platform's own traffic; the first of them needs `minimum_slices` groups."""

    owner: str
    seed: int
    resamples: Count
    by: Annotated[tuple[GroupName, ...], Field(min_length=1)]
    minimum: Minimum
    minimum_slices: Annotated[int, Field(ge=2)]
    false_positive_gap: Rule
    true_positive_gap: Rule
    recall: Rule
    identity: Identity
    harm: Harm
    champion: Rule


class Policy(Part):
    """The whole file, a section a gate."""

    golden: Golden
    adversarial: Adversarial
    fairness: Fairness


def load_policy(path: Path) -> Policy:
    """Read and check the file. ConfigurationError names the key, its value and the remedy."""
    return read_yaml(Policy, path, "gates.policy")
