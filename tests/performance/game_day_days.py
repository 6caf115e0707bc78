"""Two faults that come in by the day: labels that somebody poisoned, and traffic that drifts.

Days are landed, the champion decides on them (in bulk, or the clients' traffic would drown), and
the daily steps run as the DAGs run them, on the home of the running stack, so that alerts reach the
same inbox and responder. The monitor of such a fault runs once a day: its interval is a day, and
detection is counted in days; seconds are those of the step that found it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import orjson

from data_contracts.files import write_atomically
from data_contracts.labels import LabelName
from pipelines import lake, landing
from pipelines.labelling.queue import open_label_queue
from tests.performance.game_day_play import (
    Played,
    alerts_since,
    note_actions,
    wait_for_calm,
)
from tests.performance.game_day_stack import Stack
from tests.stand_ins.data_plane import wait_for

FIRST_DAY = date(2026, 11, 2)
CALM_DAYS, LABELLED_DAYS = 4, 2
EVENTS_A_DAY = 700
DRIFT = (0.1, 0.25, 0.45)  # share of messages of the other source, on the days that follow
REVIEWERS, POISONER = 8, 3
POISONED_SHARE = 0.2  # of the day's tasks are the poisoner's
MISTAKES = 0.02
HEARD_SECONDS = 30.0
Say = Callable[[str], None]
Rows = Sequence[Mapping[str, Any]]


def slow_drift(stack: Stack, rng: np.random.Generator, say: Say) -> Played:
    """From the first day on which another source has a share, growing day by day, until something
    was done or the days are over: a share that changes no decision calls for nothing."""
    found = Played(
        "slow drift", f"another source's share of the messages: {DRIFT} on following days",
        is_harmful=True, offset_seconds=0.0, expects=("freeze_training",), interval="day",
    )  # fmt: skip
    wait_for_calm(stack)
    calm_days(stack, rng)
    known = _known(stack)
    for number, share in enumerate(DRIFT, start=1):
        day = _day(CALM_DAYS + number - 1)
        _land(stack, day, rng, share)
        began = time.time()
        stack.command("pipelines", "ingest", f"--day={day}")
        _decide(stack, [day])
        stack.command("evaluation", "drift", f"--day={day}")
        if _heard(stack, found, "*Drift*", began, known):
            found.detected_days = found.detected_days or number
            found.beside.append(f"day {number}, {share:.0%}: {found.severity}")
        if found.mitigated:
            break
    say(f"slow drift: {found.detected_by or 'not detected'}; {'; '.join(found.beside)}")
    return found


def poisoned_labels(stack: Stack, rng: np.random.Generator, say: Say) -> Played:
    """One of the reviewers calls all spam of their batch ham; the day's check judges the batch."""
    found = Played(
        "poisoned label day", f"one of {REVIEWERS} reviewers, with {POISONED_SHARE:.0%} of the "
        "day's tasks, calls all spam ham",
        is_harmful=True, offset_seconds=0.0, expects=("freeze_training",), interval="day",
    )  # fmt: skip
    wait_for_calm(stack)
    truth = calm_days(stack, rng)
    *before, day = (_day(number) for number in range(CALM_DAYS))
    _label_honestly(stack, before[-LABELLED_DAYS:], truth, rng)
    known = _known(stack)
    stack.command("pipelines", "sample", f"--day={day}")
    _answer(stack, day, truth, rng, POISONER)
    began = time.time()
    done = stack.command("pipelines", "check-labels", f"--day={day}")
    if _heard(stack, found, "*Poison*", began, known):
        found.detected_days = 1
    found.beside = [f"quarantined: {one['batch']}" for one in done["quarantined"]]
    say(f"poisoned label day: quarantined {done['quarantined']}")
    return found


def calm_days(stack: Stack, rng: np.random.Generator) -> dict[str, LabelName]:
    """Ordinary days in the lake, with their drift reports; what is true of their events. Once."""
    days = [_day(number) for number in range(CALM_DAYS)]
    truth = stack.settings.home / "game-day-truth.json"
    if not truth.is_file():
        known: dict[str, str] = {}
        for day in days:
            known |= _land(stack, day, rng, 0.0)
        stack.command("pipelines", "ingest", "--day=pending")
        _decide(stack, days)
        stack.command("evaluation", "drift", "--day=pending")
        write_atomically(truth, orjson.dumps(known))
    read: dict[str, LabelName] = orjson.loads(truth.read_bytes())
    return read


def _label_honestly(
    stack: Stack, days: Sequence[str], truth: Mapping[str, LabelName], rng: np.random.Generator
) -> None:
    """A platform has labels of days before: they teach the check, and give gold questions."""
    for day in days:
        stack.command("pipelines", "sample", f"--day={day}")
        _answer(stack, day, truth, rng, None)


def _land(stack: Stack, day: str, rng: np.random.Generator, other: float) -> dict[str, str]:
    """EVENTS_A_DAY messages of the clients' kinds; event id to what is true of it."""
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC)
    lines: dict[str, list[bytes]] = {}
    truth = {}
    for number in range(EVENTS_A_DAY):
        kind = "other" if rng.random() < other else "spam" if rng.random() < 0.2 else "ham"
        row = stack.pool[kind][int(rng.integers(len(stack.pool[kind])))]
        event = dict(row["event"])
        event["event_id"] = f"{event['event_id']}-{day}-{number}"
        at = begin + number * timedelta(days=1) / EVENTS_A_DAY
        event["occurred_at"] = at.isoformat()
        truth[event["event_id"]] = "spam" if row["is_spam"] else "ham"
        line = orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)
        lines.setdefault(row["dataset"], []).append(line)
    for source, found in lines.items():
        path = landing.folder(stack.settings.home, day) / f"{source}.jsonl"
        write_atomically(path, b"".join(found))
    return truth


def _decide(stack: Stack, days: Sequence[str]) -> None:
    """The champion's verdicts on the landed days, in the lake as ingestion would have put them."""
    events, verdicts = (stack.settings.home / "cache" / name for name in ("in.jsonl", "out.jsonl"))
    day_of = {
        orjson.loads(line)["event_id"]: (day, line)
        for day in days
        for path in landing.files(stack.settings.home, day)
        for line in path.read_bytes().splitlines(keepends=True)
    }
    write_atomically(events, b"".join(line for _, line in day_of.values()))
    stack.command(
        "serving", "score", "--model=champion", f"--input={events}", f"--output={verdicts}"
    )
    rows: dict[str, list[dict[str, Any]]] = {day: [] for day in days}
    for line in verdicts.read_bytes().splitlines():
        verdict = orjson.loads(line)
        day = day_of[verdict["event_id"]][0]
        decided_at = datetime.fromisoformat(day).replace(tzinfo=UTC)
        stages = orjson.dumps(verdict["stages"], option=orjson.OPT_SORT_KEYS).decode()
        own = {"revision": 0, "arm": "stable", "mirrored": False, "decided_at": decided_at}
        rows[day].append({**verdict, "stages": stages, **own})
    for day, decided in rows.items():
        lake.write(stack.settings.lake, "verdicts", day, lake.rows("verdicts", decided))


def _answer(
    stack: Stack,
    day: str,
    truth: Mapping[str, LabelName],
    rng: np.random.Generator,
    poisoner: int | None,
) -> None:
    """Every task of the day: reviewers from the truth, one in fifty wrong by mistake; the poisoner
    has POISONED_SHARE of the tasks and calls everything ham."""
    queue = open_label_queue(stack.settings.state_url, 3600.0)
    names = [f"reviewer-{number}" for number in range(REVIEWERS)]
    shares = np.full(REVIEWERS, 1 / REVIEWERS)
    if poisoner is not None:
        shares = np.full(REVIEWERS, (1 - POISONED_SHARE) / (REVIEWERS - 1))
        shares[poisoner] = POISONED_SHARE
    while open_tasks := queue.progress()[day]["open"]:  # one that wants two answers comes again
        for number, (name, share) in enumerate(zip(names, shares.tolist(), strict=True)):
            wanted = max(1, round(share * open_tasks))
            for task in queue.lease(name, wanted, datetime.now(UTC), day=day, capped=False):
                label: LabelName = truth[task.event_id]
                if number == poisoner:
                    label = "ham"
                elif rng.random() < MISTAKES:
                    label = "ham" if label == "spam" else "spam"
                queue.submit(task.id, name, label, datetime.now(UTC))


def _heard(stack: Stack, found: Played, name: str, began: float, known: set[int]) -> bool:
    """Whether the step raised such an alert, and what the responder made of it."""
    from fnmatch import fnmatchcase

    told = [
        (at, alert) for at, alert, _ in alerts_since(stack, began) if fnmatchcase(alert.name, name)
    ]
    if not told:
        return False
    if found.detected_seconds is None:
        at, alert = told[0]
        found.detected_seconds, found.detected_by = at - began, alert.name
        found.cause, found.reason = alert.likely_cause, alert.reason

    def acted() -> bool:
        mine = {
            incident for _, one, incident in alerts_since(stack, began)
            if incident and incident not in known and fnmatchcase(one.name, name)
        }  # fmt: skip
        return bool(mine) and note_actions(stack, found, mine, began)

    try:
        wait_for(acted, "an action", HEARD_SECONDS)
    except AssertionError:
        return True  # told, and nothing done: the row says so
    return True


def _known(stack: Stack) -> set[int]:
    return {one.id for one in stack.store.incidents(over_too=True, most=1000)}


def _day(number: int) -> str:
    return (FIRST_DAY + timedelta(days=number)).isoformat()
