"""How the stages' log-odds become a score and an action: all fitted numbers of the ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from training.calibration import Calibration
from training.early_exit import EarlyExit
from training.logistic import Floats
from training.meta_learner import MetaLearner
from training.thresholds import Thresholds
from training.unfamiliarity import Unfamiliarity


@dataclass(frozen=True)
class Policy:
    """`early` calibrates the prefilter alone, `calibration` the whole ensemble."""

    meta_learner: MetaLearner
    calibration: Calibration
    early: Calibration
    early_exit: EarlyExit
    unfamiliarity: Unfamiliarity
    thresholds: Thresholds

    def full_log_odds(self, known: Floats, general: Floats, distances: Floats) -> Floats:
        """float64[n] from float64[n, len(INPUTS)] by stage, the general head and the distances."""
        return self.unfamiliarity.blend(self.meta_learner.score(known), general, distances)

    def as_record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Policy:
        """Raises KeyError, TypeError or ValueError for a record that is not of a policy."""
        thresholds, unfamiliarity = record["thresholds"], record["unfamiliarity"]
        learner = record["meta_learner"]
        levels = {name: tuple(levels) for name, levels in thresholds["levels"].items()}
        return cls(
            meta_learner=MetaLearner(tuple(learner["weights"]), learner["intercept"]),
            calibration=Calibration(**record["calibration"]),
            early=Calibration(**record["early"]),
            early_exit=EarlyExit(**record["early_exit"]),
            unfamiliarity=Unfamiliarity(
                unfamiliarity["familiar"],
                unfamiliarity["margin"],
                Calibration(**unfamiliarity["general"]),
            ),
            thresholds=Thresholds(thresholds["target_false_positive_rate"], levels),
        )
