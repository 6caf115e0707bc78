"""`python -m serving <verb>`: model servers, bulk scoring, the gateway and the rollout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data_contracts.command_line import Verb, main

MODEL_HELP = "a directory, a registry URI such as models:/spam/3, or champion"


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR|URI", help=MODEL_HELP)
    parser.add_argument("--port", required=True, type=int, help="0 takes a free one")
    parser.add_argument("--slot", required=True, metavar="NAME", help="names the decision files")
    parser.add_argument("--version", metavar="V", help="the registry's number of the model")


def _score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="DIR|URI|champion", help=MODEL_HELP)
    parser.add_argument(
        "--input", required=True, type=Path, metavar="FILE", help="JSON Lines, an event a line"
    )
    parser.add_argument(
        "--output", required=True, type=Path, metavar="FILE", help="JSON Lines, a verdict a line"
    )


def _rollout(parser: argparse.ArgumentParser) -> None:
    actions = ("start", "status", "watch", "pause", "resume", "promote", "abort")
    parser.add_argument("action", choices=actions)
    parser.add_argument("--version", metavar="V", help="start, watch: a number, or challenger")
    parser.add_argument("--model", metavar="URI", help="start: where to load the version from")
    parser.add_argument(
        "--timeout", type=float, default=3600.0, metavar="S", help="watch: give up after S seconds"
    )


def _slots(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("status", "stop"))


VERBS = [
    Verb(
        "serve",
        "Run a KServe model server (V1 and V2 REST) until SIGTERM.",
        "serving.server:serve",
        _serve,
    ),
    Verb(
        "score",
        "Score a file of events in bulk; a label field is ignored.",
        "serving.bulk_scoring:score",
        _score,
    ),
    Verb(
        "gateway",
        "Run Envoy in front of the model servers until SIGTERM.",
        "serving.rollout.gateway:run_gateway",
    ),
    Verb(
        "controller",
        "Keep model servers and traffic as the rollout's state says, until SIGTERM.",
        "serving.rollout.commands:run_controller",
    ),
    Verb(
        "rollout",
        "Start, follow and steer the rollout of an approved version.",
        "serving.rollout.commands:run_rollout",
        _rollout,
    ),
    Verb(
        "slots",
        "Show, or stop, the model servers that the controller started.",
        "serving.rollout.commands:run_slots",
        _slots,
    ),
]

if __name__ == "__main__":
    sys.exit(main("serving", "Acts on live traffic.", VERBS))
