"""One factor between the clock of the game day and the wall: part of a minute stands for an hour.

    python -m tests.performance.game_day_scale FACTOR FOLDER VERB …

runs a verb of the platform in which an hour, a day and a week, where the code counts in them, are
so many times shorter. Windows, holds, repeats and `for` in files and settings are divided by the
same factor (`scaled_files`, `variables`); thresholds, shares and counts stay as they are shipped,
and so do ages in seconds inside of expressions: those alerts need hours of wall time here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from data_contracts.config import PROJECT, Settings
from serving.incidents.alertmanager import PATH

ALERTS = PROJECT / "infra" / "alerts"
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
DURATION = r"(\d+)(ms|[smhdw])"
RANGE = re.compile(rf"\[{DURATION}\]|(?<=offset ){DURATION}")
SCRAPE_SECONDS = 1.0  # of real time: the shortest window, 5 minutes, is then three of them
CONSTANTS = (  # where the code counts in hours, days or weeks
    ("evaluation.monitoring.anomaly.forecasts", "DAY"),
    ("evaluation.monitoring.anomaly.forecasts", "WEEK"),
    ("evaluation.monitoring.anomaly.recent", "DAY"),
    ("serving.incidents.responder", "HOUR"),
    ("serving.incidents.releases", "RECENT"),
)
HURRIED = ("group_wait", "group_interval", "repeat_interval")


def shorter(duration: str, factor: float) -> str:
    """A duration of Prometheus, divided.

    >>> shorter("1h", 60), shorter("5m", 60), shorter("30s", 60)
    ('60000ms', '5000ms', '500ms')
    """
    count, unit = re.fullmatch(DURATION, duration).groups()  # type: ignore[union-attr]
    return f"{max(round(int(count) * SECONDS[unit] * 1000 / factor), 1)}ms"


def shorter_expression(expression: str, factor: float) -> str:
    """Every range and offset of an expression, divided.

    >>> shorter_expression("rate(a[5m]) > 0.01 * rate(b[1h] offset 6h)", 60)
    'rate(a[5000ms]) > 0.01 * rate(b[60000ms] offset 360000ms)'
    """

    def divided(found: re.Match[str]) -> str:
        whole = found[0].strip("[]")
        inner = shorter(whole, factor)
        return f"[{inner}]" if found[0].startswith("[") else inner

    return RANGE.sub(divided, expression)


def scaled_rules(content: dict[str, Any], factor: float) -> dict[str, Any]:
    """A file of rules with its windows divided; intervals are those of the scrape."""
    for group in content["groups"]:
        group["interval"] = f"{SCRAPE_SECONDS:g}s"
        for rule in group["rules"]:
            rule["expr"] = shorter_expression(rule["expr"], factor)
            if "for" in rule:
                rule["for"] = shorter(rule["for"], factor)
    return content


def scaled_routes(
    content: dict[str, Any], factor: float, receiver: str, token: Path
) -> dict[str, Any]:
    """Our routes with this machine's receiver; without mail, for which there is no server here."""
    del content["global"]
    incidents, mailbox = content["receivers"]
    del mailbox["email_configs"]
    (hook,) = incidents["webhook_configs"]
    hook["url"] = receiver + PATH
    hook["http_config"]["authorization"]["credentials_file"] = str(token)
    for route in (content["route"], *content["route"]["routes"]):
        route |= {key: shorter(route[key], factor) for key in HURRIED if key in route}
    return content


def scaled_playbooks(content: dict[str, Any], factor: float) -> dict[str, Any]:
    """How long a step may take to help; limits an hour stay, for the hour is shorter."""
    for limits in content["mitigations"].values():
        if "released_within_hours" in limits:
            limits["released_within_hours"] /= factor
    for playbook in content["playbooks"]:
        for step in playbook["steps"]:
            step["helps_within_seconds"] /= factor
    return content


def scaled_on_call(content: dict[str, Any], factor: float) -> dict[str, Any]:
    """When the next one is called."""
    for key in ("quiet_seconds", "retry_seconds"):
        content[key] /= factor
    for levels in content["escalation"].values():
        for level in levels:
            level["after_seconds"] /= factor
    return content


def write(content: Mapping[str, Any], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    return path


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def scaled_files(shipped: Settings, factor: float, folder: Path) -> dict[str, str]:
    """Playbooks and schedule in `folder`; the variables that name them."""
    ours = shipped.incidents
    books = write(scaled_playbooks(read(ours.playbooks), factor), folder / "playbooks.yaml")
    called = write(scaled_on_call(read(ours.on_call), factor), folder / "on_call.yaml")
    return {
        "WEIR__INCIDENTS__PLAYBOOKS": str(books), "WEIR__INCIDENTS__ON_CALL": str(called),
    }  # fmt: skip


def variables(shipped: Settings, factor: float) -> dict[str, str]:
    """Settings that are times, divided."""
    incidents, watched = shipped.incidents, shipped.monitoring.anomalies
    shorter_ones = {
        "MONITORING__WINDOW_HOURS": shipped.monitoring.window_hours,
        "MONITORING__ANOMALIES__QUIET_HOURS": watched.quiet_hours,
        "MONITORING__ANOMALIES__RELEASE_HOURS": watched.release_hours,
        "INCIDENTS__QUIET_SECONDS": incidents.quiet_seconds,
        "INCIDENTS__SAME_CAUSE_SECONDS": incidents.same_cause_seconds,
        "INCIDENTS__HOLD_SECONDS": incidents.hold_seconds,
        "INCIDENTS__REOPEN_SECONDS": incidents.reopen_seconds,
    }
    found = {f"WEIR__{name}": str(value / factor) for name, value in shorter_ones.items()}
    return found | {
        "WEIR__INCIDENTS__POLL_SECONDS": "0.5",
        "WEIR__PLATFORM_METRICS__REFRESH_SECONDS": "2",
    }


def divide_constants(factor: float) -> None:
    """In this process, from now on."""
    for module, name in CONSTANTS:
        holder = import_module(module)
        known: float | timedelta = getattr(holder, name)
        setattr(holder, name, known / factor)


def main() -> None:
    factor, folder, *arguments = sys.argv[1:]
    divide_constants(float(factor))
    sys.argv = [folder, *arguments]
    verbs = import_module(f"{folder}.__main__")
    from data_contracts.command_line import main as run

    sys.exit(run(folder, f"{folder}, on a shorter hour", verbs.VERBS))


if __name__ == "__main__":
    main()
