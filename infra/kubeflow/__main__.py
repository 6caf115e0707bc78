"""`python -m infra.kubeflow compile|run-local|step`: the flows of `steps.yaml` on Kubeflow."""

import argparse
import sys
from pathlib import Path

from data_contracts.command_line import Verb, main


def _flow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--flow", default="daily_retraining", help="a flow of steps.yaml (default: %(default)s)"
    )


def _compile(parser: argparse.ArgumentParser) -> None:
    _flow(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.yaml")
    parser.add_argument(
        "--image", default="weir/platform:0.1.0", help="the platform image (default: %(default)s)"
    )


def _run_local(parser: argparse.ArgumentParser) -> None:
    _flow(parser)
    parser.add_argument(
        "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="what the flow is told; may be repeated",
    )  # fmt: skip


def _step(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--step", required=True, metavar="NAME", help="a step of steps.yaml")
    parser.add_argument("--python", required=True, help="the platform's Python")
    parser.add_argument(
        "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="a value as it is; an empty one is left out",
    )  # fmt: skip
    parser.add_argument(
        "--given", nargs=2, action="append", default=[], metavar=("STEP", "JSON"),
        help="what an earlier step returned",
    )  # fmt: skip
    parser.add_argument(
        "--value", nargs=2, action="append", default=[], metavar=("NAME", "STEP.FIELD"),
        help="a value out of what an earlier step returned; repeated, it is a list",
    )  # fmt: skip
    parser.add_argument("--outcome", type=Path, required=True, metavar="FILE")


def _refuse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--step", required=True, metavar="NAME")


VERBS = [
    Verb("compile", "write a flow as a Kubeflow Pipelines definition",
         "infra.kubeflow.pipeline:compile_flow", _compile),
    Verb("run-local", "run a flow on this machine with kfp.local, as it is compiled",
         "infra.kubeflow.local_run:run", _run_local),
    Verb("step", "in a task's container: one step, its exit code told as an outcome",
         "infra.kubeflow.step_container:run", _step),
    Verb("refuse", "in a task's container: end the run, because a step had bad input",
         "infra.kubeflow.step_container:refuse", _refuse),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(main("infra.kubeflow", "The loop's flows as Kubeflow pipelines.", VERBS))
