"""What runs in a task's container: one step, and what its exit code means to the pipeline.

Kubeflow knows two endings of a task, success and a failure that its retry policy repeats. So a
step's exit code becomes an outcome that the pipeline reads, and only what a retry may mend fails:

    0   done           what follows runs
    0   stopped        its `continue_when` is false: nothing that follows runs, the run succeeds
    99  nothing_to_do  the same
    2   bad_input      the task `refuse` ends the run as failed, at once and without a retry
    else               the task fails, and the retry policy repeats it

No kfp in here: the platform image runs it.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from data_contracts.config import PROJECT, Settings
from data_contracts.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_NOTHING_TO_DO,
    BadInput,
    WeirError,
)
from data_contracts.files import write_atomically
from data_contracts.steps import Step, load_steps

DONE, STOPPED, NOTHING_TO_DO, BAD_INPUT = "done", "stopped", "nothing_to_do", "bad_input"
GRACE_SECONDS = 10.0
ENDED_BY_REQUEST = 143  # what a shell calls SIGTERM


def run(arguments: argparse.Namespace, _settings: Settings) -> dict[str, Any]:
    """Run the step; its result, with its outcome in a file. WeirError where a retry may help."""
    step = load_steps().step(arguments.step)
    values = values_of(arguments.parameter, arguments.given, arguments.value)
    with tempfile.TemporaryDirectory(prefix="weir-step-") as folder:
        file = Path(folder) / "result.json"
        code = _ended(step.command_line(arguments.python, file, values), step.timeout_seconds)
        result: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
    outcome = outcome_of(code, step, result)
    if outcome is None:
        raise WeirError(f"{arguments.step} ended with exit code {code}; {step.when_it_fails}")
    write_atomically(arguments.outcome, outcome.encode())
    return result


def refuse(arguments: argparse.Namespace, _settings: Settings) -> None:
    """Ends the run: the step's own task has the cause in its log."""
    name = arguments.step
    raise BadInput(
        f"{name} had bad input or configuration, which no retry mends; the last lines of its "
        f"task's log name it. {load_steps().step(name).when_it_fails}"
    )


def outcome_of(code: int, step: Step, result: Mapping[str, Any]) -> str | None:
    """None where the task should fail, so that it is tried again."""
    if code == EXIT_DONE:
        goes_on = step.continue_when is None or result.get(step.continue_when) is True
        return DONE if goes_on else STOPPED
    return {EXIT_NOTHING_TO_DO: NOTHING_TO_DO, EXIT_BAD_INPUT: BAD_INPUT}.get(code)


def values_of(
    parameters: Sequence[Sequence[str]],
    given: Sequence[Sequence[str]],
    values: Sequence[Sequence[str]],
) -> dict[str, object]:
    """A step's values: parameters as they are, and fields of what earlier steps returned.

    >>> values_of([["trials", ""]], [["golden", '{"report": "g.json"}']],
    ...           [["gate", "golden.report"], ["gate", "golden.report"]])
    {'gate': ['g.json', 'g.json']}
    """
    returned = {step: json.loads(result) for step, result in given}
    found: dict[str, list[object]] = {}
    for name, source in values:
        step, _, field = source.partition(".")
        if field not in returned.get(step, {}):
            has = ", ".join(returned.get(step, {})) or "nothing"
            raise BadInput(f"{name}: {step} returned no {field}; it returned {has}")
        found.setdefault(name, []).append(returned[step][field])
    told: dict[str, object] = {name: value for name, value in parameters if value}
    return told | {name: some[0] if len(some) == 1 else some for name, some in found.items()}


def _ended(command: Sequence[str], timeout_seconds: float) -> int:
    """The step's exit code. Its time is up, or the pod ends: asked to end, then killed."""
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL)

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(ENDED_BY_REQUEST)

    before = signal.signal(signal.SIGTERM, end)
    try:
        return process.wait(timeout_seconds)
    except subprocess.TimeoutExpired:
        raise WeirError(f"the step was not done after {timeout_seconds} s") from None
    finally:
        signal.signal(signal.SIGTERM, before)
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
