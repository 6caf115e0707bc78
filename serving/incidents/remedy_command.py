"""`python -m serving remedy`: list what a bad version did wrongly; with --execute take it back."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from data_contracts.config import Settings
from data_contracts.errors import BadInput, NothingToDo
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.verdicts import Verdict
from pipelines.near_duplicates import group_near_duplicates
from pipelines.state import open_state
from serving.appeals.command import sink_of, store_of
from serving.appeals.reversals import Reversals
from serving.cascade import Cascade
from serving.decision_records import artefact_of
from serving.incidents.enforced_actions import EnforcedActions, Scope, Standing
from serving.incidents.remedy import Remedy
from serving.incidents.remedy_ledger import Champion, Judged, RemedyLedger
from serving.incidents.remedy_report import figures, page

FOLDER = "remedy"
MOST_PROPOSED = 50  # golden cases for a person to look at
KINDS_AMONG = 4  # times as many are looked through for different ones
PRIVATE = 0o600  # of what holds users' words


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Plan, act where that was asked for, and write the report. Raises NothingToDo where the
    version enforced nothing in the window that still stands.
    """
    from serving.artefact import load_cascade

    scope = Scope(
        arguments.version, _time("--from", arguments.start), _time("--to", arguments.end),
        arguments.threshold_version,
    )  # fmt: skip
    cascade = load_cascade(arguments.model, settings)
    _refuse_the_accused(cascade, scope)
    remedy = remedy_of(settings, scope, cascade, _now)
    try:
        return carry_out(remedy, settings.reports, execute=arguments.execute)
    finally:
        _say(f"page and proposals are in {folder_of(remedy, settings.reports)}")


def remedy_of(
    settings: Settings, scope: Scope, cascade: Cascade, clock: Callable[[], datetime]
) -> Remedy:
    """On the configured home and state database."""
    engine = open_state(settings.state_url)
    reversals = Reversals(engine, sink_of(settings, clock), clock)
    reversals.prepare()
    champion = Champion(cascade.model_version, cascade.threshold_version)
    return Remedy(
        EnforcedActions(settings.home / "decisions", settings.lake, scope),
        RemedyLedger(engine, scope, champion),
        judge_of(cascade),
        store_of(settings.appeals, engine),
        reversals,
        clock,
    )


def judge_of(cascade: Cascade) -> Callable[[Sequence[Event]], Sequence[Verdict]]:
    """As `score` asks it: every stage that the event calls for, however long that takes."""
    return lambda events: cascade.decide(events).verdicts


def carry_out(remedy: Remedy, reports: Path, *, execute: bool) -> dict[str, Any]:
    """The report; it is written whatever happens to the execution."""
    standing = remedy.plan()
    actions = remedy.ledger.actions()
    if not actions:
        raise NothingToDo(
            f"version {remedy.actions.scope.version} enforced nothing in the window that still "
            f"stands ({standing.lifted} lifted since, {standing.taken_over} taken over)"
        )
    proposals = propose(remedy, standing, actions)
    try:
        if execute:
            remedy.execute(standing)
    finally:
        found = figures(remedy.ledger.actions(), standing)
        _write(remedy, reports, found, proposals)
    if execute:
        wrongful = found["wrongful"]["count"]
        said = f"remedy carried out: {found['states_of_wrongful']} of {wrongful} wrongful"
        remedy.ledger.record(said, remedy.ledger.id, remedy.clock())
    return {
        "remedy": remedy.ledger.id,
        "executed": execute,
        **found,
        "proposed_cases": len(proposals),
        "folder": str(folder_of(remedy, reports)),
        "next": _next(remedy, found, reports, execute=execute),
    }


def propose(remedy: Remedy, standing: Standing, actions: Sequence[Judged]) -> list[Event]:
    """The events that the version was surest and most wrong about, one of each kind of text.

    Proposals for the golden suite: a person reads them and adds what is right.
    """
    wrongful = [one for one in actions if one.outcome == "wrongful"]
    surest = sorted(wrongful, key=lambda one: (-one.contested.score, one.event_id))
    wanted = {one.event_id for one in surest[: KINDS_AMONG * MOST_PROPOSED]}
    asked = {one: action for one, action in standing.actions.items() if one in wanted}
    found = {one.event.event_id: one.event for one in remedy.actions.read(asked)}
    events = [found[one.event_id] for one in surest if one.event_id in found]
    first: dict[int, Event] = {}
    for group, event in zip(
        group_near_duplicates([one.text for one in events]).tolist(), events, strict=True
    ):
        first.setdefault(group, event)
    chosen = list(first.values())[:MOST_PROPOSED]
    return [event.model_copy(update={"account": None}) for event in chosen]


def folder_of(remedy: Remedy, reports: Path) -> Path:
    return reports / FOLDER / remedy.ledger.id


def _write(
    remedy: Remedy, reports: Path, found: Mapping[str, Any], proposals: Sequence[Event]
) -> None:
    folder, scope = folder_of(remedy, reports), remedy.actions.scope
    start, end = f"{scope.start:%Y-%m-%d %H:%M}", f"{scope.end:%Y-%m-%d %H:%M}"
    title = f"Remedy of version {scope.version}: {start} to {end} UTC"
    actions = remedy.ledger.actions()
    lines = [
        orjson.dumps(one.model_dump(mode="json", exclude_defaults=True), option=_LINE)
        for one in proposals
    ]
    write_atomically(folder / "index.html", page(title, found, actions).encode())
    write_atomically(folder / "report.json", orjson.dumps(dict(found), option=orjson.OPT_INDENT_2))
    write_atomically(folder / "must_not_block.jsonl", b"".join(lines), PRIVATE)


_LINE = orjson.OPT_APPEND_NEWLINE


def _refuse_the_accused(cascade: Cascade, scope: Scope) -> None:
    """Nobody judges its own case."""
    ours = {cascade.model_version, artefact_of(cascade.assessor)}
    same_thresholds = scope.threshold_version in (None, cascade.threshold_version)
    if scope.version in ours and same_thresholds:
        raise BadInput(
            f"--version {scope.version} is the champion that would judge; roll back first, name "
            "another --model, or give the --threshold-version that was bad"
        )


def _next(remedy: Remedy, found: Mapping[str, Any], reports: Path, *, execute: bool) -> str:
    if not execute and found["wrongful"]["count"]:
        return "look at index.html, then run the same command with --execute"
    cases = folder_of(remedy, reports) / "must_not_block.jsonl"
    return (
        f"read {cases}, then python -m evaluation suite add --cases {cases} --kind must_not_block "
        f"--source incident --reference remedy-{remedy.ledger.id} --by NAME --reason TEXT"
    )


def _time(name: str, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{name} {text!r} is no time; write 2026-01-05T14:00 (UTC)") from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _now() -> datetime:
    return datetime.now(UTC)


def _say(message: str) -> None:
    print(f"remedy: {message}", file=sys.stderr, flush=True)
