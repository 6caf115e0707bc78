"""A flow of `steps.yaml` as a Kubeflow pipeline: the one door to kfp's compiler.

One task a step, in the flow's order: it runs `python -m infra.kubeflow step`, an argument list, in
the platform image. A step's JSON is the task's output `result`, and later tasks take the same
fields out of it as the DAG's tasks do. Data stay where they are, on the volume that is the Weir
home; paths are handed on, no artefact is copied. `infra/decisions/0012` says why.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from data_contracts import secrets
from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from data_contracts.steps import Flow, Step, load_steps
from infra.kubeflow.nesting import nested
from infra.kubeflow.step_container import BAD_INPUT, DONE

LONGEST_RETRY_DELAY_SECONDS = 900
START_SECONDS = 300  # a pod pulls its image before the step's own time begins
USER = 10001
SCRATCH = "1Gi"
HOME_CLAIM = "weir-home"
COMMAND = ("python3", "-m", "infra.kubeflow")
RESULT = "result"
OUTCOME = "outcome"
# Secret, its key, and the variable in which a step finds it: named here, never written down.
SECRETS = (
    ("weir-mlflow", "trainer-password", secrets.MLFLOW_TRAINER_PASSWORD),
    ("weir-database", "password", "PGPASSWORD"),
)
LABELS = {
    "app.kubernetes.io/part-of": "weir",
    "weir.dev/asks-database": "true",  # network policies let these labels through
    "weir.dev/asks-registry": "true",
}


@dataclass(frozen=True)
class Place:
    """Where tasks run: the platform image, the Python in it, and the environment of a task."""

    image: str
    python: str
    environment: Mapping[str, str]


def cluster(image: str) -> Place:
    """As infra/kubernetes/base has it: the home is the volume `weir-home`."""
    return Place(image, "python3", {"WEIR_ENV": "production", "WEIR_HOME": "/var/weir"})


def compile_flow(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Write the definition; the settings of a cluster decide how long a retry waits."""
    from kfp import compiler

    name = flow_named(arguments.flow)
    production = load_settings({"WEIR_ENV": "production", "WEIR_HOME": str(settings.home)})
    pipeline = pipeline_of(name, cluster(arguments.image), production)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    compiler.Compiler().compile(pipeline, str(arguments.output))
    return {"flow": arguments.flow, "definition": str(arguments.output), "image": arguments.image}


def flow_named(name: str) -> str:
    """The name itself; BadInput where `steps.yaml` has no such flow."""
    try:
        load_steps().flow(name)
    except ValueError as error:
        raise BadInput(str(error)) from None
    return name


def pipeline_of(name: str, place: Place, settings: Settings) -> Any:
    """The flow as kfp's pipeline."""
    from kfp import dsl

    steps, known = load_steps(), load_steps().parameters
    delay = round(settings.orchestration.retry_delay_seconds)

    def build(*told: Any) -> None:
        given = dict(zip(steps.asked_for(name), told, strict=True))
        _Building(steps.flow(name), place, delay, given).add_tasks()

    _sign(build, {one: (str, _text(known[one].default)) for one in steps.asked_for(name)})
    decorate: Callable[..., Any] = dsl.pipeline(
        name=name.replace("_", "-"), description=steps.flow(name).about
    )
    return decorate(build)


@dataclass(frozen=True)
class _Building:
    """One flow under construction: tasks stand inside a condition for each step before them."""

    flow: Flow
    place: Place
    retry_delay_seconds: int
    told: Mapping[str, Any]

    def add_tasks(self) -> None:
        tasks: dict[str, Any] = {}
        with ExitStack() as conditions:
            for name, opens in nested(self.flow):
                for before in opens:
                    conditions.enter_context(_where(tasks[before], DONE, f"{before} is done"))
                tasks[name] = self._task(name, tasks)
                self._refuse(name, tasks[name])

    def _task(self, name: str, tasks: Mapping[str, Any]) -> Any:
        step = load_steps().step(name)
        upstream = self.flow.upstream(name)
        parameters = [one for one in step.takes if one in self.told]
        component = _component(name, step, self.flow, parameters, self.place)
        inputs = {one: self.told[one] for one in parameters}
        task = component(**inputs, **{one: tasks[one].outputs[RESULT] for one in upstream})
        task.set_display_name(name)
        task.set_retry(
            step.retries, f"{self.retry_delay_seconds}s", 2.0, f"{LONGEST_RETRY_DELAY_SECONDS}s"
        )
        for scale in (task.set_cpu_request, task.set_cpu_limit):
            scale(str(step.resources.cpu))
        for scale in (task.set_memory_request, task.set_memory_limit):
            scale(f"{step.resources.memory_gib:g}Gi")
        return _placed(task, name, self.place, step.timeout_seconds + START_SECONDS)

    def _refuse(self, name: str, task: Any) -> None:
        with _where(task, BAD_INPUT, f"{name} had bad input"):
            refused = _refusal(name, self.place)().set_display_name(f"refuse_{name}")
            _placed(refused, name, self.place, START_SECONDS)


def _text(default: object) -> str:
    """Kubeflow's form has strings; an empty one is a value that is not given."""
    return "" if default is None else str(default)


def _where(task: Any, outcome: str, name: str) -> Any:
    from kfp import dsl

    return dsl.If(task.outputs[OUTCOME] == outcome, name)


def _refusal(name: str, place: Place) -> Callable[..., Any]:
    from kfp import dsl

    def container() -> Any:
        return dsl.ContainerSpec(place.image, [*COMMAND, "refuse"], ["--step", name])

    return _containing(f"refuse_{name}", container, "Ends the run as failed.", {})


def _component(
    name: str, step: Step, flow: Flow, parameters: Sequence[str], place: Place
) -> Callable[..., Any]:
    """The step as a container component: strings in, strings out.

    A result is JSON text, because kfp would turn its whole numbers into floats and refuse its
    nulls.
    """
    from kfp import dsl

    upstream = flow.upstream(name)

    def container(**channels: Any) -> Any:
        argv: list[Any] = ["--step", name, "--python", place.python]
        for one in parameters:
            argv += ["--parameter", one, channels[one]]
        for one in upstream:
            argv += ["--given", one, channels[one]]
        for parameter, pairs in flow.handed_on(name).items():
            for earlier, field in pairs:
                argv += ["--value", parameter, f"{earlier}.{field}"]
        argv += ["--result", channels[RESULT], "--outcome", channels[OUTCOME]]
        return dsl.ContainerSpec(place.image, [*COMMAND, "step"], argv)

    inputs = dict.fromkeys([*parameters, *upstream], str)
    outputs = dict.fromkeys([RESULT, OUTCOME], dsl.OutputPath(str))
    return _containing(name, container, step.does, {**inputs, **outputs})


def _containing(
    name: str, container: Callable[..., Any], about: str, takes: Mapping[str, Any]
) -> Callable[..., Any]:
    """kfp reads a component off a function: its name, its text, its signature."""
    from kfp import dsl

    def described(*channels: Any) -> Any:
        return container(**dict(zip(takes, channels, strict=True)))

    described.__name__, described.__doc__ = name, about
    _sign(
        described, {one: (annotation, inspect.Parameter.empty) for one, annotation in takes.items()}
    )
    component: Callable[..., Any] = dsl.container_component(described)
    return component


def _sign(function: Any, parameters: Mapping[str, tuple[Any, Any]]) -> None:
    """Give a function the parameters (annotation, default) that kfp should see."""
    function.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=annotation,
                default=default,
            )
            for name, (annotation, default) in parameters.items()
        ]
    )


def _placed(task: Any, name: str, place: Place, timeout_seconds: int) -> Any:
    """Never from kfp's cache, which cannot see the lake; home, scratch, user and secrets."""
    from kfp import kubernetes

    task.set_caching_options(False)
    for variable, value in place.environment.items():
        task.set_env_variable(variable, value)
    kubernetes.mount_pvc(task, HOME_CLAIM, place.environment["WEIR_HOME"])
    kubernetes.empty_dir_mount(task, "scratch", "/tmp", size_limit=SCRATCH)  # noqa: S108
    kubernetes.set_timeout(task, timeout_seconds)
    kubernetes.set_security_context(task, USER, USER, True)
    for secret, key, variable in SECRETS:
        kubernetes.use_secret_as_env(task, secret, {key: variable})
    for label, value in {**LABELS, "weir.dev/step": name}.items():
        kubernetes.add_pod_label(task, label, value)
    return task
