"""`python -m evaluation <verb>`: judge models, and what they did."""

from __future__ import annotations

import argparse
import sys

from data_contracts.command_line import Verb, main
from pipelines.days import declare_day


def _declare_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="DIR|URI", help="a folder, models:/NAME/N, or an alias"
    )
    parser.add_argument(
        "--suite", required=True, metavar="GATE", help="golden, adversarial or fairness"
    )
    parser.add_argument(
        "--dataset", action="append", metavar="NAME|FILE.jsonl",
        help="judge on this catalogue set or labelled file, may be repeated "
        "(default: the lake's labelled events that training leaves out)",
    )  # fmt: skip
    parser.add_argument(
        "--champion", metavar="DIR|URI|none",
        help="compare with this model (default: the registry's champion)",
    )  # fmt: skip


def _declare_monitor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hours", type=float, metavar="N",
        help="length of the window that ends now (default: monitoring.window_hours)",
    )  # fmt: skip


VERBS = [
    Verb("gate", "judge a model on one suite; a no is data, not an error",
         "evaluation.gates.judging:run", _declare_gate),
    Verb("drift", "compare a day's events with the days before it",
         "evaluation.monitoring.data:run", declare_day),
    Verb("monitor", "report the last window: actions, errors, latency, quality, drift",
         "evaluation.monitoring.monitor:run", _declare_monitor),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(main("evaluation", "Judges models, and what they did.", VERBS))
