"""How the stages' log-odds become a score, an action and a decision to stop: all fitted numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event
from data_contracts.verdicts import Action
from training.activation import FREE_MILLISECONDS, Activation
from training.calibration import Calibration
from training.logistic import Floats
from training.sliced_calibration import SlicedCalibration
from training.thresholds import Thresholds
from training.weighing import Weighing

PREFILTER, TEXT, FUSION = "prefilter", "text", "fusion"
TEXT_MILLISECONDS = 3.0  # the encoder and the heads


@dataclass(frozen=True)
class FusedPolicy:
    """`tokens` are the stages in the order of fusion, the two of the text first.

    `calibrations[k]` turns log-odds after k of the activation's steps into a probability.
    """

    tokens: tuple[str, ...]
    weighing: Weighing
    calibrations: tuple[SlicedCalibration, ...]
    activation: Activation
    thresholds: Thresholds

    def probability(self, step: int, log_odds: float, kind: str) -> float:
        """After `step` steps, for an event of a kind (`kind_of`)."""
        return self.calibrations[step].of(kind.partition("/")[0]).probability_of(log_odds)

    def action(self, score: float, kind: str, shift: float = 0.0) -> Action:
        return self.thresholds.action(score, kind, shift)

    def as_record(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FusedPolicy:
        """Raises KeyError, TypeError or ValueError for a record that is not of a policy."""
        weighing, activation = record["weighing"], record["activation"]
        thresholds = record["thresholds"]
        levels = {name: tuple(levels) for name, levels in thresholds["levels"].items()}
        return cls(
            tokens=tuple(record["tokens"]),
            weighing=Weighing(
                tuple(weighing["weights"]), weighing["intercept"], tuple(weighing["record"])
            ),
            calibrations=tuple(_calibration(one) for one in record["calibrations"]),
            activation=Activation(
                tuple(activation["stages"]),
                tuple(activation["costs"]),
                tuple((low, high) for low, high in activation["bounds"]),
            ),
            thresholds=Thresholds(thresholds["target_false_positive_rate"], levels),
        )


def _calibration(record: Mapping[str, Any]) -> SlicedCalibration:
    slices = {name: Calibration(**one) for name, one in record["slices"].items()}
    return SlicedCalibration(Calibration(**record["all_slices"]), slices)


def kind_of(modalities: Sequence[str], event: Event) -> str:
    """For example `behaviour+image/en`: what an event carries beside its text, and its language.

    >>> kind_of(["image", "behaviour", "image"], Event(event_id="e", text="", language="en-GB"))
    'behaviour+image/en'
    """
    carried = "+".join(sorted({name for name in modalities if name not in ("text", "context")}))
    language = (event.language or "").partition("-")[0].lower()
    return f"{carried or 'text'}/{language}" if language else carried or "text"


def steps_of(costs: Mapping[str, float]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stages that always run, and the others by rising cost.

    >>> steps_of({"prefilter": 0.1, "ocr": 250.0, "image": 40.0})
    (('prefilter',), ('image', 'ocr'))
    """
    free = tuple(name for name, cost in costs.items() if cost <= FREE_MILLISECONDS)
    dear = sorted((name for name in costs if name not in free), key=lambda name: costs[name])
    return free, tuple(dear)


def run_after(tokens: Sequence[str], activation: Activation, step: int) -> NDArray[np.bool_]:
    """bool[S]: which stages may have run after `step` of the dear ones."""
    dear, run = set(activation.stages), set(activation.stages[:step])
    return np.array([name not in dear or name in run for name in tokens])


def late_fusion(present: NDArray[np.bool_], log_odds: Floats) -> Floats:
    """float64[n]: the mean of the calibrated log-odds of the stages present, as a baseline."""
    return np.asarray((log_odds * present).sum(axis=1) / np.maximum(present.sum(axis=1), 1))
