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
    actions = ("start", "status", "watch", "page", "pause", "resume", "promote", "abort")
    parser.add_argument("action", choices=actions)
    parser.add_argument(
        "--version", metavar="V",
        help="start, watch, page: a number, or challenger; status: a number, default the newest",
    )  # fmt: skip
    parser.add_argument(
        "--watch", action="store_true", help="status: stay, and show it as it goes (a terminal)"
    )
    parser.add_argument("--model", metavar="URI", help="start: where to load the version from")
    parser.add_argument(
        "--timeout", type=float, default=3600.0, metavar="S", help="watch: give up after S seconds"
    )


def _slots(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("status", "stop"))


def _replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--records", required=True, type=Path, nargs="+", metavar="PATH",
        help="files of decision records, or folders of them",
    )  # fmt: skip
    parser.add_argument("--model", required=True, metavar="DIR|URI|champion", help=MODEL_HELP)


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event_id", metavar="EVENT_ID")
    parser.add_argument(
        "--model", metavar="DIR|URI|champion", help="also show the values of its thresholds"
    )
    parser.add_argument(
        "--show-text", action="store_true", help="print what the user wrote; default: its length"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of it, too")


def _gateway(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--take-over", action="store_true",
        help="replace the running gateway of this home without losing a request",
    )  # fmt: skip


def _remedy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--version", required=True, metavar="V", help="what it enforced, as its verdicts name it"
    )
    parser.add_argument(
        "--from", dest="start", required=True, metavar="TIME", help="ISO 8601, UTC without a zone"
    )
    parser.add_argument("--to", dest="end", required=True, metavar="TIME", help="not included")
    parser.add_argument(
        "--threshold-version", metavar="X", help="only verdicts by these thresholds of the version"
    )
    parser.add_argument("--model", default="champion", metavar="DIR|URI|champion", help=MODEL_HELP)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="list, and touch nothing (default)")
    how.add_argument("--execute", action="store_true", help="take the wrongful actions back")


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--verdicts-per-second", required=True, type=float, metavar="N")
    parser.add_argument(
        "--mix", default="text=80,image=12,video=3,account=5", help="default: %(default)s"
    )
    for flag, wanted in (("--spam-share", 0.1), ("--p99-milliseconds", 80), ("--zones", 3)):
        parser.add_argument(
            flag, type=float, default=wanted, metavar="N", help="default: %(default)s"
        )
    parser.add_argument(
        "--service-times", type=Path, metavar="FILE",
        help="measured service times; default: the sample that comes with the code",
    )  # fmt: skip
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with pictures, too")
    assumed = parser.add_argument_group("assumptions")
    for flag, default, meaning in (
        ("--cores-per-pod", 4, "workers of a CPU pod"),
        ("--gateways", None, "proxies that choose among pods; default: one for 50,000 verdicts/s"),
        ("--way-milliseconds", 1.0, "through gateway and network, there and back"),
        ("--maximum-utilisation", 0.85, "of a pod's capacity that is planned for"),
        ("--reaction-seconds", 60.0, "until autoscaling replaces a lost zone"),
        ("--afterwards-seconds", 10.0, "within which stages afterwards revise a verdict, at p99"),
        ("--burst-variation", 0.0, "of the rate between bursts, coefficient of variation; 0: none"),
        ("--burst-seconds", 1.0, "that a burst lasts"),
    ):
        shown = meaning if default is None else f"{meaning}; default: %(default)s"
        assumed.add_argument(flag, type=float, default=default, metavar="N", help=shown)
    exact = parser.add_argument_group("precision")
    exact.add_argument("--requests", type=int, default=100_000, metavar="N", help="a replication")
    exact.add_argument("--replications", type=int, default=5, metavar="N", help="for the intervals")
    exact.add_argument("--seed", type=int, default=7, metavar="N")


def _appeals_token(parser: argparse.ArgumentParser) -> None:
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--reviewer", metavar="NAME", help="who decides, for the audit trail")
    who.add_argument("--account", metavar="NAME", help="who appeals, as the platform names them")
    parser.add_argument(
        "--hours", type=float, default=8.0, metavar="N", help="until it ends; default: %(default)s"
    )


def _incidents(parser: argparse.ArgumentParser) -> None:
    actions = ("list", "show", "acknowledge", "note", "mitigate", "undo", "resolve", "post-mortem",
               "raise", "respond")  # fmt: skip
    parser.add_argument("action", choices=actions)
    parser.add_argument(
        "number", nargs="?", type=int, metavar="NUMBER", help="of the incident; undo: of the action"
    )
    parser.add_argument("--all", action="store_true", help="list: those that are over, too")
    parser.add_argument("--by", metavar="NAME", help="who does it; default: the logged-in user")
    parser.add_argument("--reason", metavar="TEXT", help="resolve, note: in your words")
    parser.add_argument("--mitigation", metavar="NAME", help="mitigate: see `incidents show`")
    parser.add_argument("--input", type=Path, metavar="FILE", help="raise: JSON Lines of alerts")


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
        "replay",
        "Decide recorded events again and compare the verdicts byte for byte.",
        "serving.replay:run",
        _replay,
    ),
    Verb(
        "inspect",
        "Show one event's way through the cascade, stage by stage.",
        "serving.inspection:run",
        _inspect,
    ),
    Verb(
        "plan",
        "Simulate how many pods a load needs, with what p99, and what a lost zone costs.",
        "serving.capacity.command:run",
        _plan,
    ),
    Verb(
        "gateway",
        "Run Envoy in front of the model servers until SIGTERM.",
        "serving.rollout.gateway:run_gateway",
        _gateway,
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
        "approval",
        "Hear of approvals in MLflow and start their rollouts, until SIGTERM.",
        "serving.approval.command:run",
    ),
    Verb(
        "alerts",
        "Hear of alerts by Alertmanager's webhook, until SIGTERM.",
        "serving.incidents.alert_receiver:run",
    ),
    Verb(
        "metrics",
        "Show Prometheus what answers no requests: labels, lake, rollout, DAGs, until SIGTERM.",
        "serving.platform_metrics.command:run",
    ),
    Verb(
        "appeals",
        "Hear appeals of accounts, let reviewers decide them, until SIGTERM.",
        "serving.appeals.command:run",
    ),
    Verb(
        "appeals-token",
        "Print a token with which a reviewer signs in to decide appeals, or an account to appeal.",
        "serving.appeals.token_command:run",
        _appeals_token,
    ),
    Verb(
        "remedy",
        "Find what a bad version enforced, judge it by the champion, and take back what is wrong.",
        "serving.incidents.remedy_command:run",
        _remedy,
    ),
    Verb(
        "incidents",
        "See what is wrong and what to do next; respond: act on it, until SIGTERM.",
        "serving.incidents.command:run",
        _incidents,
    ),
    Verb(
        "status-page",
        "Show what is live, is it healthy, what changed and what needs people, until SIGTERM.",
        "serving.status_page.command:run",
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
