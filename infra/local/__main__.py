"""`python -m infra.local up|down|status|run`: the local stack and the main job."""

import argparse
import sys

from data_contracts.command_line import Verb, main


def _declare_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep", action="store_true", help="leave the services running when the job is done"
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
]

if __name__ == "__main__":
    sys.exit(main("infra.local", "The whole platform on one machine.", VERBS))
