"""`python -m evaluation <verb>`: judge models, and what they did."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

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


def _declare_accept_drift(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--day", required=True, metavar="YYYY-MM-DD", help="the first day of what changed"
    )
    parser.add_argument("--by", required=True, metavar="NAME", help="who knows the change")
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="what it is, for the record"
    )


def _declare_card(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="DIR|URI", help="the model that the gates judged"
    )
    parser.add_argument(
        "--gate", type=Path, action="append", required=True, metavar="REPORT",
        help="a gate report (JSON); repeat for every gate",
    )  # fmt: skip
    parser.add_argument(
        "--champion", metavar="DIR|URI|none",
        help="compare with this model (default: the registry's champion)",
    )  # fmt: skip
    parser.add_argument(
        "--waiver", type=Path, action="append", default=[], metavar="FILE",
        help="a signed waiver to show; the same as `training promote` gets",
    )  # fmt: skip


def _declare_suite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("add", "show"), help="add cases, or count them")
    parser.add_argument(
        "--cases", type=Path, metavar="FILE.jsonl",
        help="an event a line, with `family` where known; `label` where the kind is ordinary",
    )  # fmt: skip
    parser.add_argument(
        "--kind", choices=("must_catch", "must_not_block", "ordinary"), help="of all these cases"
    )
    parser.add_argument(
        "--source", choices=("appeal", "incident", "dataset", "hand"), help="where they come from"
    )
    parser.add_argument("--reference", metavar="ID", help="of the appeal, incident or data set")
    parser.add_argument("--by", metavar="NAME", help="who adds them")
    parser.add_argument("--reason", metavar="TEXT", help="why every release must answer them")


VERBS = [
    Verb("gate", "judge a model on one suite; a no is data, not an error",
         "evaluation.gates.judging:run", _declare_gate),
    Verb("card", "one page about a judged model: verdict, figures, pictures, lineage, what next",
         "evaluation.model_card:run", _declare_card),
    Verb("suite", "add cases to the golden suite, or show what it holds",
         "evaluation.gates.suite_store:run", _declare_suite),
    Verb("drift", "compare a day's events with the days before it",
         "evaluation.monitoring.data:run", declare_day),
    Verb("accept-drift", "a change is known and here to stay: later days are held against it",
         "evaluation.monitoring.data:run_accept", _declare_accept_drift),
    Verb("monitor", "report the last window: actions, errors, latency, quality, drift",
         "evaluation.monitoring.monitor:run", _declare_monitor),
    Verb("workspace", "serve Evidently's pages of drift and quality on loopback, until SIGTERM",
         "evaluation.monitoring.evidently_workspace:run"),
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(main("evaluation", "Judges models, and what they did.", VERBS))
