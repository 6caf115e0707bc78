"""What the search may try. Choices are few, so that trials share what they have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from training.prefilter import PrefilterParameters
from training.specialists.text import SpecialistParameters
from training.stacking import Parameters

VERSION = 1
CHOICES: Mapping[str, tuple[float | int, ...]] = {
    "ngram_strength": (10.0, 30.0, 100.0),
    "prefilter_leaves": (15, 31, 63),
    "prefilter_rounds": (120, 200),
    "specialist_width": (128, 192, 256),
    "specialist_dropout": (0.2, 0.3, 0.45),
}
DEFAULT: Mapping[str, float | int] = {
    "ngram_strength": 30.0,
    "prefilter_leaves": 31,
    "prefilter_rounds": 200,
    "specialist_width": 192,
    "specialist_dropout": 0.3,
}


class Suggests(Protocol):
    """The part of an Optuna trial that the space needs."""

    def suggest_categorical(self, name: str, choices: tuple[float | int, ...]) -> float | int: ...


def suggest(trial: Suggests) -> Parameters:
    """One point of the space."""
    return parameters_of(
        {name: trial.suggest_categorical(name, choices) for name, choices in CHOICES.items()}
    )


def parameters_of(chosen: Mapping[str, float | int]) -> Parameters:
    """The typed parameters of one point, named as in CHOICES."""
    return Parameters(
        ngram_strength=float(chosen["ngram_strength"]),
        prefilter=PrefilterParameters(
            leaves=int(chosen["prefilter_leaves"]), rounds=int(chosen["prefilter_rounds"])
        ),
        specialist=SpecialistParameters(
            width=int(chosen["specialist_width"]), dropout=float(chosen["specialist_dropout"])
        ),
    )
