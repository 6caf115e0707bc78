"""What a remedy found, in figures with their intervals, and as a page; never what a user wrote.

Shares are of the actions that the champion judged, with Clopper-Pearson intervals (Clopper &
Pearson 1934). Where people decided some of the same actions, they say how far the champion is to be
trusted here: on how much of their spam it acts, and how much of their ham it lets through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from evaluation.metrics import clopper_pearson
from evaluation.monitoring.page import STYLE
from serving.incidents.enforced_actions import Standing
from serving.incidents.remedy_ledger import Judged

SHOWN = 200  # wrongful actions on the page; the ledger has all
JUDGED = ("wrongful", "milder", "confirmed")


def figures(actions: Sequence[Judged], standing: Standing) -> dict[str, Any]:
    """Plain JSON types."""
    outcomes: Counter[str] = Counter(one.outcome for one in actions)
    judged_events = {one.event_id for one in actions}
    states: Counter[str] = Counter(one.state for one in actions if one.outcome == "wrongful")
    judged = sum(outcomes[name] for name in JUDGED)
    return {
        "enforced": len(standing.actions),
        "lifted_since": standing.lifted,
        "taken_over_by_another_version": standing.taken_over,
        "unreadable": len(standing.actions.keys() - judged_events),
        "judged_without_their_past": sum(one.event_from == "lake" for one in actions),
        "decided_by_a_person": outcomes["decided_by_a_person"],
        "judged": judged,
        "wrongful": share(outcomes["wrongful"], judged),
        "milder": share(outcomes["milder"], judged),
        "confirmed": share(outcomes["confirmed"], judged),
        "states_of_wrongful": dict(sorted(states.items())),
        "by_reason": by_reason(actions),
        "champion_beside_people": beside_people(actions),
    }


def share(count: int, of: int) -> dict[str, Any]:
    """`count` of `of`, with the interval where there is anything to count."""
    if not of:
        return {"count": count, "of": of, "share": None, "low": None, "high": None}
    estimate = clopper_pearson(count, of)
    return {
        "count": count, "of": of, "share": estimate.value, "low": estimate.low,
        "high": estimate.high,
    }  # fmt: skip


def by_reason(actions: Sequence[Judged]) -> dict[str, Any]:
    """For each reason code that the version gave: how many of its actions were wrongful."""
    judged = [one for one in actions if one.outcome in JUDGED]
    given = Counter(reason for one in judged for reason in set(one.contested.reasons))
    wrong = Counter(
        reason
        for one in judged
        if one.outcome == "wrongful"
        for reason in set(one.contested.reasons)
    )
    return {reason: share(wrong[reason], given[reason]) for reason in sorted(given)}


def beside_people(actions: Sequence[Judged]) -> dict[str, Any]:
    """How the champion does on the actions that people decided: it acts on spam, allows ham."""
    spam = [one for one in actions if one.person_says == "spam"]
    ham = [one for one in actions if one.person_says == "ham"]
    return {
        "acts_on_their_spam": share(sum(one.champion_action != "allow" for one in spam), len(spam)),
        "allows_their_ham": share(sum(one.champion_action == "allow" for one in ham), len(ham)),
    }


def page(title: str, figures: Mapping[str, Any], actions: Sequence[Judged]) -> str:
    """HTML that needs nothing from elsewhere."""
    wrongful = [one for one in actions if one.outcome == "wrongful"]
    count = figures["wrongful"]["count"]
    done = figures["states_of_wrongful"].get("reversed", 0)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f"<h1>{escape(title)}</h1>",
        f"<p class=calm>{count:,} wrongful actions, {done:,} of them taken back."
        if done == count
        else f"<ul class=alarms><li>{count:,} wrongful actions, {done:,} of them taken back.</ul>",
        "<h2>What it enforced</h2>", _table(("", "events"), _counts(figures)),
        "<h2>What the champion thinks of it</h2>",
        _table(("", "actions", "of", "share", "95 % interval"),
               [_share(name, figures[name]) for name in JUDGED]),
        "<h2>By reason</h2>",
        _table(("reason", "wrongful", "of", "share", "95 % interval"),
               [_share(name, one) for name, one in figures["by_reason"].items()]),
        "<h2>The champion beside people, on the same actions</h2>",
        _table(("", "agrees", "of", "share", "95 % interval"),
               [_share(name.replace("_", " "), one)
                for name, one in figures["champion_beside_people"].items()]),
        f"<h2>Wrongful actions ({min(len(wrongful), SHOWN):,} of {len(wrongful):,})</h2>",
        _table(("event", "action", "score", "champion's score", "became", "reasons"),
               [_action(one) for one in wrongful[:SHOWN]]),
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _counts(figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    names = (
        "enforced", "lifted_since", "taken_over_by_another_version", "decided_by_a_person",
        "unreadable", "judged_without_their_past",
    )  # fmt: skip
    return [(name.replace("_", " "), f"{figures[name]:,}") for name in names]


def _share(name: str, one: Mapping[str, Any]) -> tuple[str, ...]:
    if one["share"] is None:
        return (name, "0", "0", "", "not enough evidence")
    interval = f"{one['low']:.2%} to {one['high']:.2%}"
    return (name, f"{one['count']:,}", f"{one['of']:,}", f"{one['share']:.2%}", interval)


def _action(one: Judged) -> tuple[str, ...]:
    about = one.contested
    return (
        one.event_id, about.action, f"{about.score:.4f}", f"{one.champion_score:.4f}",
        one.state.replace("_", " "), ", ".join(about.reasons),
    )  # fmt: skip


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) for row in rows)
    return f"<div class=scroll><table><tr>{head}{body}</table></div>"
