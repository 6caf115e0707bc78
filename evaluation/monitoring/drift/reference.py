"""The days that a day is held against, by what their own reports (`{folder}/{day}.json`) say.

A day that drifted waits before it counts: if it counted at once, a drift that grows a little every
day would hide among the days that it has changed already. A change that is here to stay is accepted
by a person; from the accepted day on every day counts, and none before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Drift
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from pipelines.days import is_day

DRIFTED = "drift"  # the verdict of a day whose features did


def reference(day: str, known: Sequence[str], folder: Path, settings: Drift) -> list[str]:
    """Of the `known` days before it the newest that count, in order."""
    most = settings.reference_days
    before = sorted(one for one in known if one < day)[-most - settings.drifted_days_wait :]
    reports = {one: day_report(folder, one) or {} for one in before}
    drifted = _drifted(reports.values())
    found: list[str] = []
    for one in reversed(before):
        accepted = reports[one].get("accepted")
        age = (date.fromisoformat(day) - date.fromisoformat(one)).days
        if accepted or one not in drifted or age >= settings.drifted_days_wait:
            found.append(one)
        if len(found) == most or (accepted and accepted["since"] == one):
            break
    return found[::-1]


def _drifted(reports: Iterable[Mapping[str, Any]]) -> set[str]:
    """Days whose features drifted, and days whose embeddings did, as a later report may say."""
    found = set()
    for one in reports:
        embeddings = one.get("embeddings")
        if one.get("verdict") == DRIFTED:
            found.add(one["day"])
        if embeddings and embeddings["drifted"]:
            found.add(embeddings["day"])
    return found


def day_report(folder: Path, day: str) -> dict[str, Any] | None:
    """What was found of the day, and whether it was accepted; None before it was judged."""
    path = folder / f"{day}.json"
    return orjson.loads(path.read_bytes()) if path.is_file() else None


def accept(folder: Path, day: str, by: str, reason: str) -> list[str]:
    """Write into the reports of the day and of those after it that they count; those days.

    Raises BadInput where the day has no report or raised no alert. It may be done again.
    """
    report = day_report(folder, day) if is_day(day) else None
    if report is None:
        raise BadInput(f"--day {day} has no drift report in {folder}; run: evaluation drift")
    if not report["alerts"]:
        raise BadInput(f"--day {day} raised no alert ({report['verdict']}): nothing to accept")
    accepted = {"since": day, "by": by, "reason": reason, "at": datetime.now(UTC).isoformat()}
    days = sorted(path.stem for path in folder.glob("*.json") if path.stem >= day)
    for one in reversed(days):  # the day itself last: until then nothing counts from it on
        record = (day_report(folder, one) or {}) | {"accepted": accepted}
        write_atomically(folder / f"{one}.json", orjson.dumps(record, option=orjson.OPT_INDENT_2))
    return days
