"""The search over the whole ensemble: stage after stage, within one budget of time.

The text first, then each specialist, then the fusion over the best of these, then the
meta-learner. Each has its share of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from data_contracts.protocols import TrialLog
from training.search_space import SearchSpace
from training.tuning import Found, Objective, Search, tune


@dataclass
class StagedSearch:
    """`trials` a stage at most, within `seconds` for all; studies are named by `name`.

    `found` collects what each stage's search came to.
    """

    space: SearchSpace
    name: str
    studies: Path
    trials: int
    seconds: float
    seed: int
    log: TrialLog
    say: Callable[[str], None]
    found: dict[str, Found] = field(default_factory=dict)

    def best(self, space: str, stage: str, objective: Objective, parts: int = 1) -> Found:
        """The best point of a stage's space; its default, untried, where no trials are wanted.

        `parts` is how many stages share the time of this space.
        """
        chosen = self.space.stages[space]
        if self.trials == 0:
            self.found[stage] = Found(chosen.default, 0.0, 0)
            return self.found[stage]
        study = f"{self.name}-space{self.space.version}-{stage}"
        left = max(self.seconds * chosen.share / parts, 1.0)
        self.say(f"searching {stage}: up to {self.trials} trials within {left:.0f} s")
        search = Search(
            stage, study, self.studies / f"{study}.journal", self.trials, self.seed, left
        )
        self.found[stage] = found = tune(search, chosen, objective, self.log)
        self.say(f"best of {found.trials} trials of {stage}: {found.value:.4f}")
        return found
