"""The platform's log of actions: from the landing zone into the lake, and back in order of time.

A day of which no file landed has no day in the lake: what nobody told is unknown, not nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.actions import MAX_ACTION_BYTES, Action, parse_action_line
from data_contracts.errors import ContractViolation
from data_contracts.tables import ACTIONS
from pipelines import lake, landing
from pipelines.accounts import hash_account
from pipelines.landing import Line

ROWS = 1024


@dataclass
class LandedActions:
    """One day's actions, without those that were told before, and what broke the contract."""

    lines: int = 0
    duplicates: int = 0
    actions: list[Action] = field(default_factory=list)
    quarantine: list[dict[str, Any]] = field(default_factory=list)


def ingest_actions(home: Path, lake_folder: Path, day: str, key: str) -> LandedActions:
    """Write one day's actions from what landed on it; accounts become hashes under `key`.

    An action has no id: one that is the same in every field is the same action, told twice.
    """
    found, told = LandedActions(), dict[Action, None]()
    paths = landing.action_files(home, day)
    if not paths:
        return found
    for path in paths:
        for line in landing.lines(path, MAX_ACTION_BYTES):
            found.lines += 1
            try:
                told.setdefault(_action(line, day, key))
            except ContractViolation as violation:
                found.quarantine.append(landing.quarantined(line, path, violation))
    before = _told_before(lake_folder, day, told)
    found.actions = [action for action in told if action not in before]
    found.duplicates = found.lines - len(found.actions) - len(found.quarantine)
    write_actions(lake_folder, day, found.actions)
    return found


def write_actions(lake_folder: Path, day: str, actions: Iterable[Action]) -> bool:
    """Replace one day of the log, in order of time; True when its bytes changed."""
    rows = [vars(action) for action in sorted(actions, key=_order)]
    return lake.write(lake_folder, "actions", day, lake.rows("actions", rows))


def actions_of(lake_folder: Path) -> Iterator[Action]:
    """All actions of the lake, in order of time; a day is in memory at a time."""
    for day in lake.days(lake_folder, "actions"):
        yield from actions_of_day(lake_folder, day)


def actions_of_day(lake_folder: Path, day: str) -> Iterator[Action]:
    """One day's actions in order of time; none where the day has none."""
    rows = lake.read(lake_folder, "actions", [day]).sort_by([("at", "ascending")])
    yield from _actions(rows)


def _action(line: Line, day: str, key: str) -> Action:
    if line.content is None:
        raise landing.too_long(line, "action", MAX_ACTION_BYTES, "an action is five short fields")
    action = parse_action_line(line.content)
    landing.check_time("at", action.at, day)
    account, target = (hash_account(name, key) for name in (action.account, action.target))
    return replace(action, account=account, target=target)


def _told_before(lake_folder: Path, day: str, told: Iterable[Action]) -> set[Action]:
    """Those that the days before hold: a delivery that is repeated is recognised for a week."""
    first = (landing.midnight(day) - timedelta(days=landing.LOOKBACK_DAYS)).date().isoformat()
    times = pa.array(sorted({action.at for action in told}), ACTIONS.field("at").type)
    found: set[Action] = set()
    for one in lake.days(lake_folder, "actions"):
        if first <= one < day:
            rows = lake.read(lake_folder, "actions", [one])
            found.update(_actions(rows.filter(pc.is_in(rows["at"], value_set=times))))
    return found


def _actions(rows: pa.Table) -> Iterator[Action]:
    for batch in rows.to_batches(max_chunksize=ROWS):
        for row in batch.to_pylist():
            yield Action(**row)


def _order(action: Action) -> tuple[datetime, str, str, str, str]:
    return action.at, action.account, action.kind, action.target, action.device or ""
