"""The only operator: one task is one step of the platform, as `data_contracts/steps.yaml` lists it.

A step's exit code decides the task: 0 success, 1 failed and worth a retry, 2 failed for good
(bad input or configuration), 99 skipped (nothing to do). The step's JSON is the task's XCom, one
key each. Values come from the run's parameters, or from an earlier task's XCom, and reach the
step as single `--name=value` arguments: no template, no shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, BaseOperator, Param
from airflow.sdk.definitions.timetables.trigger import CronTriggerTimetable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from failure_notice import notify_failure
from step_runner import Outcome, Runner, SubprocessRunner

from data_contracts.config import load_settings
from data_contracts.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_NOTHING_TO_DO
from data_contracts.steps import Step, load_steps

LONGEST_RETRY_DELAY = timedelta(minutes=15)
LINES_IN_MESSAGE = 8
TRIGGERED_BY = "WEIR_TRIGGERED_BY"  # read by `python -m training register`

# What all of Weir's DAGs share. One run at a time: a step finds its inputs in the lake.
DAG_DEFAULTS: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {"owner": "weir", "on_failure_callback": notify_failure},
}


def schedule_of(dag_id: str) -> CronTriggerTimetable:
    """When `orchestration.schedules` says, in UTC.

    A new schedule waits for its next time. Airflow 3.3 would run the one just past, too, where a
    tenth of the interval has not gone by (a daily one for more than two hours), and takes
    `run_immediately=False` for that default; a span of nothing it takes as it is.
    """
    expression = load_settings().orchestration.schedules[dag_id]
    return CronTriggerTimetable(expression, timezone="UTC", run_immediately=timedelta())


def asset(name: str) -> Asset:
    """An asset that one DAG renews and another waits for."""
    about = load_steps().assets[name]
    return Asset(name=name, uri=about.uri, extra={"about": about.about})


def form(*names: str) -> dict[str, Param]:
    """The trigger form: each parameter with its title, description and JSON schema."""
    known = load_steps().parameters
    return {
        name: Param(
            known[name].default,
            title=known[name].title,
            description_md=known[name].description,
            **known[name].form,
        )
        for name in names
    }


def described(name: str) -> dict[str, Any]:
    """What a DAG of a flow says of itself, and its trigger form: what no earlier step gives."""
    steps = load_steps()
    return {"description": steps.flow(name).about, "params": form(*steps.asked_for(name))}


def flow(name: str) -> None:
    """The tasks of a flow of `steps.yaml`; each is told what earlier ones returned."""
    steps = load_steps().flow(name)
    returned: dict[str, Any] = {}
    for step, given in steps.steps.items():
        values = {
            parameter: _handed_on(given[parameter], returned, pairs)
            for parameter, pairs in steps.handed_on(step).items()
        }
        returned[step] = PlatformStep(step=step, values=values).output


def _handed_on(
    given: str | tuple[str, ...], returned: Mapping[str, Any], pairs: tuple[tuple[str, str], ...]
) -> Any:
    """The value itself, or a list where `steps.yaml` has one."""
    several = [returned[step][field] for step, field in pairs]
    return several[0] if isinstance(given, str) else several


class PlatformStep(BaseOperator):
    """Runs a step. Where its `continue_when` is false, the task is skipped, the result kept."""

    template_fields = ("values",)  # so that another task's XCom may be a value
    ui_color = "#e8f1f8"

    def __init__(
        self,
        *,
        step: str,
        values: Mapping[str, Any] | None = None,
        runner: Runner | None = None,
        **kwargs: Any,
    ) -> None:
        self.step = step
        self.values = dict(values or {})
        self.last_lines: tuple[str, ...] = ()
        self.shown_command = ""
        described = load_steps().step(step)
        self.when_it_fails = described.when_it_fails
        self._runner = runner
        super().__init__(**_limits(step, described) | kwargs)

    def execute(self, context: Any) -> dict[str, Any]:
        result = self.run_step(context)
        if not _may_continue(self.step, result):
            for key, value in {**result, "return_value": result}.items():
                context["ti"].xcom_push(key=key, value=value)
            raise AirflowSkipException(
                f"{self.step}: {_condition(self.step)} is false; nothing follows"
            )
        return result

    def on_kill(self) -> None:
        if self._runner is not None:
            self._runner.stop()

    def run_step(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Run the step; its JSON, or the exception that its exit code stands for."""
        step = load_steps().step(self.step)
        values = {name: context["params"][name] for name in step.takes if name in context["params"]}
        values |= self.values
        self._runner = self._runner or SubprocessRunner(
            load_settings().orchestration.platform_python
        )
        self.shown_command = _shown(step, values)
        self.log.info("running: %s", self.shown_command)
        self.last_lines = ()
        outcome = self._runner.run(step, values, self._keep_and_log, _triggered_by(context))
        self.last_lines = outcome.last_lines
        return _result_of(outcome, self.shown_command)

    def _keep_and_log(self, line: str) -> None:
        self.last_lines = (*self.last_lines, line)[-LINES_IN_MESSAGE:]
        self.log.info(line)


def _triggered_by(context: Mapping[str, Any]) -> dict[str, str]:
    """Who started this run by hand, for the lineage: whoever starts a training may not approve."""
    user = getattr(context.get("dag_run"), "triggering_user_name", None)
    return {TRIGGERED_BY: user} if user else {}


def _limits(name: str, step: Step) -> dict[str, Any]:
    return {
        "task_id": name,
        "retries": step.retries,
        "retry_delay": timedelta(seconds=load_settings().orchestration.retry_delay_seconds),
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": LONGEST_RETRY_DELAY,
        "execution_timeout": timedelta(seconds=step.timeout_seconds),
        "inlets": [asset(name) for name in step.inputs],
        "outlets": [asset(name) for name in step.outputs],
        "multiple_outputs": True,
        "doc_md": f"{step.does}\n\n**When it fails.** {step.when_it_fails}\n\n"
        f"By hand: `{_shown(step, {})}`",
    }


def _shown(step: Step, values: Mapping[str, Any]) -> str:
    """The command as a person would type it in the project's folder."""
    argv = step.command_line(".venv/bin/python", Path("result.json"), values)
    return shlex.join(item for item in argv if not item.startswith("--result="))


def _condition(step: str) -> str | None:
    return load_steps().step(step).continue_when


def _may_continue(step: str, result: Mapping[str, Any]) -> bool:
    condition = _condition(step)
    return condition is None or result.get(condition) is True


def _result_of(outcome: Outcome, command: str) -> dict[str, Any]:
    if outcome.exit_code == EXIT_DONE:
        return dict(outcome.result)
    cause = outcome.last_lines[-1] if outcome.last_lines else "it wrote nothing"
    if outcome.exit_code == EXIT_NOTHING_TO_DO:
        raise AirflowSkipException(f"nothing to do: {cause}")
    last = "\n  ".join(outcome.last_lines[-LINES_IN_MESSAGE:])
    message = (
        f"{_ending(outcome.exit_code)}: {cause}\n  command: {command}\n  last lines:\n  {last}"
    )
    if outcome.exit_code == EXIT_BAD_INPUT:
        raise AirflowFailException(message)
    raise AirflowException(message)


def _ending(exit_code: int) -> str:
    if exit_code < 0:
        return f"step was ended by signal {-exit_code}"
    return f"step ended with exit code {exit_code}"
