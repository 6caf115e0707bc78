"""What the search may try: `search_space.yaml`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.yaml_files import read_yaml
from training.prefilter import PrefilterParameters
from training.specialists.text import SpecialistParameters
from training.stacking import Parameters

FILE = Path(__file__).with_name("search_space.yaml")
Value = float | int


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(_Part):
    """The values of one parameter, among them the default."""

    default: Value
    choices: Annotated[tuple[Value, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _knows_its_default(self) -> Choice:
        if self.default not in self.choices:
            raise ValueError(f"default {self.default} is none of the choices {self.choices}")
        return self


class Space(_Part):
    """One stage: its parameters, and its part of the search's time."""

    share: Annotated[float, Field(gt=0, le=1)]
    parameters: dict[str, Choice]

    @property
    def default(self) -> dict[str, Value]:
        return {name: choice.default for name, choice in self.parameters.items()}

    def suggest(self, trial: Suggests) -> dict[str, Value]:
        """One point of the space."""
        return {
            name: trial.suggest_categorical(name, choice.choices)
            for name, choice in self.parameters.items()
        }


class SearchSpace(_Part):
    """All stages, in the order in which they are searched."""

    version: int
    stages: dict[str, Space]


class Suggests(Protocol):
    """The part of an Optuna trial that a space needs."""

    def suggest_categorical(self, name: str, choices: tuple[Value, ...]) -> Value: ...


@cache
def load_search_space(path: Path = FILE) -> SearchSpace:
    """ConfigurationError that names the parameter and its value."""
    return read_yaml(SearchSpace, path)


def text_parameters(chosen: Mapping[str, Value]) -> Parameters:
    """The typed parameters of the text's models, named as in the space `text`."""
    return Parameters(
        ngram_strength=float(chosen["ngram_strength"]),
        prefilter=PrefilterParameters(
            leaves=int(chosen["prefilter_leaves"]), rounds=int(chosen["prefilter_rounds"])
        ),
        specialist=SpecialistParameters(
            width=int(chosen["specialist_width"]), dropout=float(chosen["specialist_dropout"])
        ),
    )
