"""`python -m infra.local up|down|status|run|review`: the local stack and the main job."""

import argparse
import sys

from data_contracts.command_line import Verb, main


def _declare_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep", action="store_true", help="leave the services running when the job is done"
    )


def _declare_review(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--watch",
        type=float,
        metavar="SECONDS",
        help="sync again every SECONDS, until interrupted (default: sync once)",
    )


VERBS = [
    Verb("up", "start the services and print their addresses", "infra.local.stack:up"),
    Verb("down", "stop what `up` or `run` started", "infra.local.stack:down"),
    Verb("status", "what runs, and where each log is", "infra.local.stack:status"),
    Verb(
        "run",
        "one whole turn of the loop on real messages, driven through Airflow",
        "infra.local.loop:run",
        _declare_run,
    ),
    Verb(
        "review",
        "start Label Studio and keep it in step with the label queue",
        "infra.local.review:run",
        _declare_review,
    ),
]

if __name__ == "__main__":
    sys.exit(main("infra.local", "The whole platform on one machine.", VERBS))
