"""The pages as HTML: no script, nothing from elsewhere, readable at phone width and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment

from data_contracts.config import Settings
from pipelines.audit_trail import Entry
from serving.incidents.decisions import IN_FORCE, proposed
from serving.incidents.guidance import SAID_BY_STATE, next_commands
from serving.incidents.playbooks import FOR_PEOPLE, Playbooks
from serving.incidents.triage import MEANING
from serving.rollout.story import Story
from serving.status_page.facts import Facts, Files, State
from serving.status_page.health import REPORT, Health, said_of_switch
from serving.status_page.hourly_report import QUALITY, Estimate, Hour
from serving.status_page.incident_facts import Case
from serving.status_page.links import addresses
from serving.status_page.needs import Need
from serving.status_page.state_facts import incident_of_change
from serving.status_page.templates import environment

SHOWN_FINDINGS = 4  # before one asks for more
DAY_HOURS = 48
SMALL_SHARE = 0.01  # from which on fewer digits tell enough


@dataclass(frozen=True)
class Tile:
    """A figure, with the interval or the count that it rests on."""

    name: str
    value: str
    rests_on: str = ""


def status_page(facts: Facts, found: Health, wanted: Sequence[Need], settings: Settings) -> str:
    """The whole page."""
    state, files = facts.state.value or State(), facts.files.value or Files()
    return _environment().get_template("status.html.j2").render(
        now=facts.now, reload=settings.status_page.reload_seconds, health=found,
        more=found.findings[1:], shown=SHOWN_FINDINGS, needs=wanted, state=state, files=files,
        known=facts.state.value is not None, shares=_shares(state, facts.now),
        switches=_switches(state), report=REPORT,
        tiles=tiles(facts.report.value, files, facts.now), hour=facts.report.value,
        links=links(settings, files),
        changes=[(entry, _link(entry, files)) for entry in state.changes],
    )  # fmt: skip


def incident_page(
    case: Case, playbooks: Playbooks | None, files: Files, now: datetime, settings: Settings
) -> str:
    """Everything about one incident, the next step first."""
    incident = case.incident
    playbook = playbooks.named(incident.playbook) if playbooks else None
    own = [one for one in case.actions if one.round == incident.round]
    folder = f"incidents/{incident.id}"
    return _environment().get_template("incident.html.j2").render(
        now=now, reload=settings.status_page.reload_seconds, case=case, incident=incident,
        playbook=playbook, meaning=MEANING[incident.severity], said=SAID_BY_STATE[incident.state],
        commands=next_commands(incident, playbook, case.actions), does=FOR_PEOPLE,
        proposed=[] if incident.is_over else proposed(playbook, own), in_force=IN_FORCE,
        post_mortem=f"/reports/{folder}/post-mortem.md" if incident.id in files.drafted else "",
    )  # fmt: skip


def sign_in_page(refused: bool) -> str:
    """A field for a serving token."""
    return _environment().get_template("sign_in.html.j2").render(refused=refused)


def message_page(title: str, what: str) -> str:
    """One sentence, and the way back."""
    return _environment().get_template("message.html.j2").render(title=title, what=what)


def tiles(hour: Hour | None, files: Files, now: datetime) -> list[Tile]:
    """The figures of the last report, and how old the newest data are."""
    ages = (("newest label", files.newest_label), ("lake written", files.lake_written),
            ("features know until", files.newest_feature))  # fmt: skip
    return [
        *(_report_tiles(hour) if hour else ()),
        *(Tile(name, "unknown" if at is None else ago(at, now)) for name, at in ages),
    ]


def links(settings: Settings, files: Files) -> list[tuple[str, str]]:
    """Where else to look: name and address."""
    single = {
        kind: f"/reports/{paths[0]}" for kind, paths in files.pages.items() if len(paths) == 1
    }
    return [*addresses(settings).items(), *single.items()]


def ago(at: datetime, now: datetime) -> str:
    """
    >>> from datetime import UTC, timedelta
    >>> now = datetime(2026, 1, 5, tzinfo=UTC)
    >>> [ago(now - timedelta(seconds=one), now) for one in (5, 150, 7300, 200_000)]
    ['5 s ago', '2 min ago', '2 h ago', '2 d ago']
    """
    seconds = max((now - at).total_seconds(), 0)
    if seconds < 120:
        return f"{seconds:.0f} s ago"
    if seconds < 7200:
        return f"{seconds // 60:.0f} min ago"
    hours = seconds // 3600
    return f"{hours:.0f} h ago" if hours < DAY_HOURS else f"{hours // 24:.0f} d ago"


def clock(at: datetime) -> str:
    """In UTC, to the minute."""
    return f"{at:%Y-%m-%d %H:%M}"


def path_name(path: str) -> str:
    """What a page below `/reports/` is called in a list.

    >>> path_name("gates/ab12/model_card.html"), path_name("rollout/version=7.html")
    ('ab12', 'version 7')
    """
    parts = path.split("/")
    name = parts[-2] if len(parts) > 2 else parts[-1].rpartition(".")[0]
    return name.replace("=", " ")


def _shares(state: State, now: datetime) -> dict[str, int]:
    """Percent of the requests that each arm is to answer."""
    if state.rollout is None:
        return {"stable": 100} if state.champion else {}
    if not state.rollout.active:
        return {"stable": 100}
    return Story(state.rollout, None, (), (), (), None, now).shares


def _switches(state: State) -> list[dict[str, Any]]:
    return [
        {
            "name": switch.replace("_", " "), "means": said_of_switch(state.holds, switch),
            "holds": [one for one in state.holds if one.switch == switch],
            "servers": state.heeded.get(switch, 0),
        }
        for switch in dict.fromkeys(one.switch for one in state.holds)
    ]  # fmt: skip


def _report_tiles(hour: Hour) -> list[Tile]:
    latency = hour.latency_p95_milliseconds
    quality = [
        _estimate(f"{said}, version {hour.version}", hour.quality.get(name))
        for name, said in QUALITY.items()
    ]
    return [
        Tile("decisions", f"{hour.decisions:,}"),
        _estimate("acted upon", hour.acted_upon),
        _estimate("failed requests", hour.failed_requests),
        Tile("latency p95", "unknown" if latency is None else f"{latency:.0f} ms"),
        *(quality if hour.version else [Tile("precision", "unknown", "no audit labels yet")]),
    ]


def _estimate(name: str, found: Estimate | None) -> Tile:
    """Never a figure without what it rests on."""
    if found is None:
        return Tile(name, "unknown", "not measured")
    if found.value is None or found.low is None or found.high is None:
        return Tile(name, "unknown", f"only {found.of:,} cases")
    digits = 2 if found.value < SMALL_SHARE else 1
    interval = f"{found.low:.{digits}%} to {found.high:.{digits}%}"
    return Tile(name, f"{found.value:.{digits}%}", f"{interval}, n={found.of:,}")


def _link(entry: Entry, files: Files) -> str:
    """Where a change is told at length; empty where nowhere."""
    number = incident_of_change(entry)
    if number is not None:
        return f"/incidents/{number}"
    if entry.what.startswith("rollout "):
        version = entry.subject.rpartition("/")[2]
        path = f"rollout/version={version}.html"
        return f"/reports/{path}" if path in files.pages.get("rollouts", ()) else ""
    return ""


@cache
def _environment() -> Environment:
    ours = environment()
    ours.filters |= {"ago": ago, "clock": clock, "page_name": path_name}
    return ours
