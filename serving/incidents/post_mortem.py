"""A post-mortem, drafted from what is written down, for a person to finish.

Blameless, in the sections of Google's SRE book (chapter 15, appendix D). Each drafted block stands
between two marks with the hash of its text. Drafting again renews only blocks that nobody touched;
what a person wrote, inside a block or anywhere else, stays as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_contracts.files import write_atomically
from pipelines.alert_inbox import Entry
from serving.incidents.decisions import Action
from serving.incidents.playbooks import FOR_PEOPLE, Playbook
from serving.incidents.store import IncidentStore, Line
from serving.incidents.triage import MEANING, Incident

HASH_CHARACTERS = 12
BLOCK = re.compile(
    r"<!-- weir:begin (?P<name>[a-z-]+) (?P<hash>[0-9a-f]+) -->\n(?P<text>.*?)"
    r"<!-- weir:end (?P=name) -->",
    re.DOTALL,
)
TEMPLATE = """# Incident {id}: {title}

{summary}

## What users felt

<!-- A person: how many people, for how long, what they saw. `python -m serving remedy` says whom a
bad version silenced. -->

## Time line

{time-line}

## What was seen

{evidence}

## What was done

{actions}

## What contributed

{factors}

## What went well, what went badly, where we were lucky

<!-- A person. -->

## Follow-ups

{follow-ups}
"""


@dataclass(frozen=True)
class Draft:
    """Where it is, and which blocks were kept because a person had changed them."""

    path: Path
    kept: tuple[str, ...]
    pictures: tuple[Path, ...]


def draft(
    store: IncidentStore, incident: Incident, playbook: Playbook | None, reports: Path
) -> Draft:
    """Write, or renew, `reports/incidents/{id}/post-mortem.md`, its pictures beside it."""
    from serving.incidents.picture import pictures

    folder = reports / "incidents" / str(incident.id)
    seen = store.alerts(incident.id)
    drawn = pictures(seen, store.actions(incident.id))
    for name, svg in drawn.items():
        write_atomically(folder / name, svg)
    fresh = _blocks(
        incident, playbook, store.time_line(incident.id), seen, store.actions(incident.id),
        list(drawn),
    )  # fmt: skip
    path = folder / "post-mortem.md"
    if path.is_file():
        text, kept = renewed(path.read_text(encoding="utf-8"), fresh)
    else:
        text, kept = _first(incident, fresh), ()
    write_atomically(path, text.encode())
    return Draft(path, kept, tuple(folder / name for name in drawn))


def renewed(text: str, fresh: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The text with every untouched block as it is now, and the names of those that were kept."""
    kept: list[str] = []

    def renew(found: re.Match[str]) -> str:
        name = found["name"]
        if _hash(found["text"]) != found["hash"] or name not in fresh:
            kept.append(name)
            return found[0]
        return _marked(name, fresh[name])

    return BLOCK.sub(renew, text), tuple(kept)


def _first(incident: Incident, fresh: Mapping[str, str]) -> str:
    """The template filled in one pass, so that nothing that was filled in is filled again."""
    given = {"id": str(incident.id), "title": _plain(incident.title)}
    given |= {name: _marked(name, block) for name, block in fresh.items()}
    return re.sub(r"\{([a-z-]+)\}", lambda found: given[found[1]], TEMPLATE)


def _marked(name: str, text: str) -> str:
    body = text.rstrip("\n") + "\n"
    return f"<!-- weir:begin {name} {_hash(body)} -->\n{body}<!-- weir:end {name} -->"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_CHARACTERS]


def _blocks(
    incident: Incident,
    playbook: Playbook | None,
    lines: Sequence[Line],
    seen: Sequence[Entry],
    actions: Sequence[Action],
    drawn: Sequence[str],
) -> dict[str, str]:
    return {
        "summary": _summary(incident, playbook, lines),
        "time-line": _table(
            ("UTC", "who", "what"),
            [(f"{line.at:%Y-%m-%d %H:%M:%S}", line.who, line.what) for line in lines],
        ),
        "evidence": _evidence(seen, drawn),
        "actions": _actions(actions),
        "factors": _factors(incident, seen, actions),
        "follow-ups": _follow_ups(incident, playbook, actions),
    }


def _summary(incident: Incident, playbook: Playbook | None, lines: Sequence[Line]) -> str:
    followed = "none fitted" if playbook is None else f"{playbook.name} ({playbook.runbook})"
    rows = [
        ("severity", f"{incident.severity}: {MEANING[incident.severity]}"),
        ("state", incident.state),
        ("likely cause, by the alert", incident.cause),
        ("opened", f"{incident.opened_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("until somebody acknowledged it", _until(incident, lines, "acknowledged by")),
        ("until the first mitigation was done", _until(incident, lines, " done")),
        ("until it was resolved", _until(incident, lines, "→ resolved")),
        ("returns of its alerts", str(incident.flaps)),
        ("playbook", followed),
    ]
    return _table(("", ""), rows)


def _until(incident: Incident, lines: Sequence[Line], said: str) -> str:
    """From the opening to the first line that says so."""
    at = next((line.at for line in lines if said in line.what), None)
    if at is None:
        return "never"
    return f"{(at - incident.opened_at).total_seconds():.0f} s"


def _evidence(seen: Sequence[Entry], drawn: Sequence[str]) -> str:
    newest = {entry.fingerprint: entry.alert for entry in seen if entry.alert}
    times = {one: sum(entry.fingerprint == one for entry in seen) for one in newest}
    rows = [
        (
            alert.name, ", ".join(f"{key} {value}" for key, value in sorted(alert.subject.items())),
            f"{alert.value:g}", _expected(alert.expected, alert.low, alert.high),
            str(times[one]), alert.reason,
        )
        for one, alert in newest.items()
    ]  # fmt: skip
    heads = ("alert", "of what", "last value", "expected", "seen", "reason")
    pictures = "\n".join(f"![the series of an alert]({name})" for name in drawn)
    return f"{_table(heads, rows)}\n\n{pictures}"


def _expected(expected: float | None, low: float | None, high: float | None) -> str:
    middle = "unknown" if expected is None else f"{expected:g}"
    if low is None and high is None:
        return middle
    bounds = ("-∞" if low is None else f"{low:g}", "∞" if high is None else f"{high:g}")
    return f"{middle} ({bounds[0]} to {bounds[1]})"


def _actions(actions: Sequence[Action]) -> str:
    if not actions:
        return "Nothing was done about it."
    rows = [
        (str(one.id), FOR_PEOPLE[one.mitigation], one.by, f"{one.at:%H:%M:%S}", one.state,
         one.reason)
        for one in actions
    ]  # fmt: skip
    return _table(("no.", "what", "asked by", "UTC", "outcome", "why"), rows)


def _factors(incident: Incident, seen: Sequence[Entry], actions: Sequence[Action]) -> str:
    """What the records show; the rest is for people to find."""
    causes = sorted({entry.alert.likely_cause for entry in seen if entry.alert} - {""})
    found = [f"- The alerts name as the likely cause: {_plain(cause)}." for cause in causes]
    if incident.is_flapping:
        found.append(f"- The alert came back {incident.flaps} times: its bounds, or the cause?")
    found += [
        f"- {one.mitigation} {one.state}: {_plain(one.reason)}."
        for one in actions
        if one.state in ("failed", "refused", "undo_failed")
    ]
    return "\n".join([*found, "- A person: why was it possible, and why was it not seen before?"])


def _follow_ups(incident: Incident, playbook: Playbook | None, actions: Sequence[Action]) -> str:
    owner = incident.acknowledged_by or "nobody yet"
    rows = [
        (f"Undo {one.mitigation}, or say why not (action {one.id})", owner, "")
        for one in actions
        if one.state in ("done", "undo_failed") and one.undo == "by_hand"
    ]
    rows += [
        (f"Mend {one.mitigation}: {one.reason}", owner, "")
        for one in actions
        if one.state in ("failed", "undo_failed")
    ]
    if playbook is None:
        rows.append(("Write a playbook for it (infra/config/playbooks.yaml)", owner, ""))
    rows.append(("Add what got through, or was silenced, to the golden suite", owner, ""))
    return _table(("what", "owner", "by when"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """One line that is no Markdown, no HTML and no mark of ours.

    >>> _plain("a|b <b>\\nc -->")
    'a\\\\|b &lt;b&gt; c --&gt;'
    """
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([|\\`*_\[\]])", r"\\\1", line)
