"""`python -m pipelines <verb>`: data in motion, one step a verb."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data_contracts.command_line import Verb, main
from pipelines.days import declare_day


def _declare_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", type=int, metavar="N", help="days (default: traffic.days)")
    parser.add_argument(
        "--dataset",
        action="append",
        metavar="NAME",
        help="a set of the catalogue, may be repeated (default: traffic.datasets)",
    )


def _declare_compose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=int, default=2000, metavar="N", help="default: 2000")
    parser.add_argument("--first-day", metavar="YYYY-MM-DD", help="default: 28 days after replay's")
    parser.add_argument(
        "--held-out", action="store_true", help="also the recipes that are held out of training"
    )


def _declare_drive(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--days", default="all", metavar="A..B", help="landed days (default: all)")
    parser.add_argument("--rate", type=float, required=True, metavar="R", help="requests a second")
    parser.add_argument(
        "--duration", type=float, metavar="SECONDS", help="default: until interrupted"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="also write the report here")


def _declare_sample(parser: argparse.ArgumentParser) -> None:
    declare_day(parser)
    parser.add_argument(
        "--budget", type=int, metavar="N", help="reviews a day (default: labelling.budget)"
    )


def _declare_materialize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from-day", metavar="YYYY-MM-DD", help="default: where the last run ended"
    )
    parser.add_argument("--to-day", metavar="YYYY-MM-DD", help="default: the lake's last day")


def _declare_one_day(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="one day (default: all together)")


VERBS = [
    Verb(
        "replay",
        "turn catalogue sets into days of landed events",
        "pipelines.simulation.replay:run",
        _declare_replay,
    ),
    Verb(
        "compose",
        "land multi-modal traffic composed from the real sets, with media, actions and truth",
        "pipelines.simulation.composition.landed:run",
        _declare_compose,
    ),
    Verb(
        "ingest",
        "move landed events and decision records into the lake",
        "pipelines.ingestion:run",
        declare_day,
    ),
    Verb(
        "validate",
        "hold a day of the lake against its expectations; a critical failure exits 2",
        "pipelines.validation:run",
        declare_day,
    ),
    Verb("version", "version the lake's tables with DVC", "pipelines.lake_version:run"),
    Verb(
        "materialize",
        "fold the lake's events and actions into the online feature store, each day once",
        "pipelines.feature_store.materialization:run",
        _declare_materialize,
    ),
    Verb(
        "drive",
        "send landed events to the gateway at a steady rate",
        "pipelines.simulation.live_traffic:run",
        _declare_drive,
    ),
    Verb(
        "sample",
        "choose events for review and put them into the label queue",
        "pipelines.labelling.sampling:run",
        _declare_sample,
    ),
    Verb(
        "review",
        "demo: answer the label queue from the replayed truth, as demo-oracle",
        "pipelines.labelling.oracle:run",
        declare_day,
    ),
    Verb(
        "review-sync",
        "send open tasks to Label Studio, bring its annotations into the label queue",
        "pipelines.labelling.label_studio:run",
    ),
    Verb(
        "review-quality",
        "show agreement, each reviewer's reliability, and what is open or contested",
        "pipelines.labelling.review_quality:run",
        _declare_one_day,
    ),
    Verb(
        "check-labels",
        "put batches of answers that disagree beyond chance into quarantine",
        "pipelines.labelling.check_labels:run",
        declare_day,
    ),
    Verb(
        "collect-labels",
        "move finished labels from the queue to the lake",
        "pipelines.labelling.collect:run",
        declare_day,
    ),
]

if __name__ == "__main__":
    sys.exit(main("pipelines", "Data in motion: lake, sampling, labels.", VERBS))
