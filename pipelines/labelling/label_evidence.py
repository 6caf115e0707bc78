"""Answers as the doubters of labels see them, and what they find and conclude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.near_duplicates import Components

Booleans = NDArray[np.bool_]
Integers = NDArray[np.int64]
Witness = Literal[
    "gold questions",
    "other reviewers",
    "gold questions and others about spam",
    "gold questions and others about ham",
    "held-back model",
    "held-back model, cluster",
]


@dataclass(frozen=True)
class Answered:
    """Answers as columns, one row an answer, in any order.

    `gold: int8[n]` is the known answer (1 spam, 0 ham) or -1; `settles: bool[n]` marks an
    adjudicator's word. `groups: int64[n]` joins events that are near-duplicates, `clusters:
    int64[n]` those that are alike, `texts: int64[n]` is the event's row in the held-back model.
    """

    batches: NDArray[np.str_]
    reviewers: NDArray[np.str_]
    events: NDArray[np.str_]
    spam: Booleans
    gold: NDArray[np.int8]
    settles: Booleans
    groups: Integers
    clusters: Integers
    texts: Integers

    def where(self, chosen: Booleans) -> Answered:
        return Answered(**{name: column[chosen] for name, column in vars(self).items()})

    @property
    def teachers(self) -> Integers:
        """int64[n]: answers with one number share a batch or a reviewer, or are linked by such."""
        linked = Components(len(self.spam))
        linked.join_equal(self.batches.tolist())
        linked.join_equal(self.reviewers.tolist())
        return linked.numbers()


@dataclass(frozen=True)
class Finding:
    """One test: what a witness said about a batch, and how surprising that is.

    `expected` is the count that honest reviewers would have; `corrected` is the p-value after
    Holm over all tests of the day. `events` are up to three that disagree, for a person to look at.
    """

    batch: str
    witness: Witness
    answers: int
    disagreements: int
    expected: float
    p_value: float
    corrected: float = 1.0
    cluster: int | None = None
    events: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For the person who is called: counts, expectation, p-values, where to look."""
        place = "" if self.cluster is None else f" {self.cluster}"
        return (
            f"{self.disagreements} of {self.answers} answers disagree with {self.witness}{place}, "
            f"expected {self.expected:.1f}; p = {self.p_value:.2g}, {self.corrected:.2g} after "
            f"Holm; look at {', '.join(self.events)}"
        )


@dataclass(frozen=True)
class Judgement:
    """Of one batch: the findings of its last round, the most surprising first.

    A batch that no witness could be asked about has no finding: not cleared, only not accused.
    """

    batch: str
    quarantine: bool
    findings: tuple[Finding, ...]

    @property
    def reason(self) -> str:
        if not self.findings:
            return "no witness: too few gold questions, double labels and answers of others"
        return self.findings[0].sentence()
