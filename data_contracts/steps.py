"""The loop's steps as `steps.yaml` lists them: what an orchestrator needs to run each one.

Light on purpose (pydantic and PyYAML): Airflow's environment reads it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from data_contracts.config import Positive, Section
from data_contracts.yaml_files import read_yaml

STEPS_FILE = Path(__file__).resolve().with_name("steps.yaml")

Folder = Literal["pipelines", "training", "evaluation", "serving"]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z-]*$")]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
Argument = Annotated[str, Field(pattern=r"^(--)?[a-z][a-z-]*(=[a-z0-9.-]+)?$")]
Source = Annotated[str, Field(pattern=r"^[a-z][a-z_]*\.[a-z][a-z_]*$")]


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


class Flow(Section):
    """Steps that hand their results on, in an order in which they can run.

    `steps` says where a step's values come from: `register.uri` is the field `uri` of what the
    step `register` returned; a list is several of them. A step runs after all it has values from.
    """

    about: str
    steps: dict[Name, dict[Name, Source | tuple[Source, ...]]]

    def handed_on(self, step: str) -> dict[str, tuple[tuple[str, str], ...]]:
        """By parameter of `step`: the steps and the fields that its value is made of."""
        return {
            parameter: tuple(_step_and_field(one) for one in _several(given))
            for parameter, given in self.steps[step].items()
        }

    def upstream(self, step: str) -> tuple[str, ...]:
        """The steps that `step` has values from, in the order of the flow."""
        pairs = [pair for source in self.handed_on(step).values() for pair in source]
        return tuple(name for name in self.steps if name in dict(pairs))


class Steps(Section):
    """The whole file. Every name that a step refers to is defined in it."""

    assets: dict[Name, Asset]
    parameters: dict[Name, Parameter]
    steps: dict[Name, Step]
    flows: dict[Name, Flow] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _refers_to_known_names(self) -> Steps:
        for name, step in self.steps.items():
            _check_known(f"steps.{name}.takes", step.takes, self.parameters)
            _check_known(f"steps.{name}.inputs", step.inputs, self.assets)
            _check_known(f"steps.{name}.outputs", step.outputs, self.assets)
        for name, flow in self.flows.items():
            self._check_flow(f"flows.{name}", flow)
        return self

    def _check_flow(self, place: str, flow: Flow) -> None:
        before: dict[str, object] = {}
        for name in flow.steps:
            _check_known(place, (name,), self.steps)
            handed_on = flow.handed_on(name)
            _check_known(f"{place}.{name}", tuple(handed_on), dict.fromkeys(self.steps[name].takes))
            sources = tuple(step for pairs in handed_on.values() for step, _ in pairs)
            _check_known(f"{place}.{name} (steps before it)", sources, before)
            before[name] = None

    def step(self, name: str) -> Step:
        """Raises ValueError that names the known steps."""
        if name not in self.steps:
            raise ValueError(f"no step {name!r}; {STEPS_FILE.name} has {', '.join(self.steps)}")
        return self.steps[name]

    def flow(self, name: str) -> Flow:
        """Raises ValueError that names the known flows."""
        if name not in self.flows:
            raise ValueError(f"no flow {name!r}; {STEPS_FILE.name} has {', '.join(self.flows)}")
        return self.flows[name]

    def asked_for(self, flow: str) -> tuple[str, ...]:
        """What a flow is told from outside: what its steps take and no earlier step gives."""
        steps = self.flow(flow).steps
        wanted = [
            name for step in steps for name in self.step(step).takes if name not in steps[step]
        ]
        return tuple(dict.fromkeys(wanted))


@cache
def load_steps(path: Path = STEPS_FILE) -> Steps:
    """Read and check the file. Raises ConfigurationError that names the place and the problem."""
    return read_yaml(Steps, path)


def _option(name: str, value: object) -> list[str]:
    flag = "--" + name.replace("_", "-")
    several = value if isinstance(value, list | tuple) else [value]
    return [f"{flag}={one}" for one in several if one is not None]


def _several(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _step_and_field(source: str) -> tuple[str, str]:
    step, _, field = source.partition(".")
    return step, field


def _check_known(place: str, names: tuple[str, ...], known: Mapping[str, object]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{place}: {name} is not defined; known: {', '.join(known) or 'none'}")
