"""The loop's steps as `steps.yaml` lists them: what an orchestrator needs to run each one.

Light on purpose (pydantic and PyYAML): Airflow's environment reads it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from data_contracts.config import Positive, Section
from data_contracts.errors import ConfigurationError

STEPS_FILE = Path(__file__).resolve().with_name("steps.yaml")

Folder = Literal["pipelines", "training", "evaluation", "serving"]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z-]*$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
Argument = Annotated[str, Field(pattern=r"^(--)?[a-z][a-z-]*(=[a-z0-9.-]+)?$")]


class Asset(Section):
    """Something that a step renews and another DAG waits for."""

    uri: Annotated[str, Field(pattern=r"^weir://")]
    about: str


class Parameter(Section):
    """A value that a step can be given. `form` is its JSON schema, checked before a run."""

    title: str
    description: str
    default: str | int | None = None
    form: dict[str, Any]


class Resources(Section):
    """What one run of a step needs at most: CPU cores and memory in GiB."""

    cpu: Annotated[float, Field(gt=0)]
    memory_gib: Annotated[float, Field(gt=0)]


class Step(Section):
    """One call of the platform's command line, with its limits in seconds.

    `continue_when` names a boolean of the result: where it is false the step has done its
    work, yet nothing that follows may run, and no asset is renewed.
    """

    command: tuple[Folder, Word]
    arguments: tuple[Argument, ...] = ()
    takes: tuple[Name, ...] = ()
    does: str
    when_it_fails: str
    inputs: tuple[Name, ...] = ()
    outputs: tuple[Name, ...] = ()
    continue_when: Name | None = None
    retries: Annotated[int, Field(ge=0, le=10)]
    timeout_seconds: Positive
    resources: Resources

    def command_line(self, python: str, result: Path, values: Mapping[str, object]) -> list[str]:
        """The argument list that runs this step and writes its JSON to `result`.

        A value is always part of one `--name=value` item, so it can become neither another
        option nor a command. None leaves the option out; a list repeats it.
        """
        unknown = sorted(set(values) - set(self.takes))
        if unknown:
            raise ValueError(
                f"{' '.join(self.command)} takes no {', '.join(unknown)}; "
                f"give one of {', '.join(self.takes) or 'nothing'}"
            )
        folder, verb = self.command
        head = [python, "-m", folder, verb, f"--result={result}", *self.arguments]
        return head + [item for name in self.takes for item in _option(name, values.get(name))]


class Steps(Section):
    """The whole file. Every name that a step refers to is defined in it."""

    assets: dict[Name, Asset]
    parameters: dict[Name, Parameter]
    steps: dict[Name, Step]

    @model_validator(mode="after")
    def _refers_to_known_names(self) -> Steps:
        for name, step in self.steps.items():
            _check_known(f"steps.{name}.takes", step.takes, self.parameters)
            _check_known(f"steps.{name}.inputs", step.inputs, self.assets)
            _check_known(f"steps.{name}.outputs", step.outputs, self.assets)
        return self

    def step(self, name: str) -> Step:
        """Raises ValueError that names the known steps."""
        if name not in self.steps:
            raise ValueError(f"no step {name!r}; {STEPS_FILE.name} has {', '.join(self.steps)}")
        return self.steps[name]


@cache
def load_steps(path: Path = STEPS_FILE) -> Steps:
    """Read and check the file. Raises ConfigurationError that names the place and the problem."""
    try:
        return Steps.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path.name}: {place or 'file'}: {first['msg']}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path.name} is not YAML: {error}") from None


def _option(name: str, value: object) -> list[str]:
    flag = "--" + name.replace("_", "-")
    several = value if isinstance(value, list | tuple) else [value]
    return [f"{flag}={one}" for one in several if one is not None]


def _check_known(place: str, names: tuple[str, ...], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{place}: {name} is not defined; known: {', '.join(known)}")
