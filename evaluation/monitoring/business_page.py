"""The section Business of the monitoring page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from evaluation.monitoring.markup import Markup, definitions, share, table

WIDTH, HEIGHT, EDGE = 640, 150, 12  # of the picture, in its own units
NOTHING = "<p>Not known; see below."


def business(section: Mapping[str, Any] | None) -> list[str]:
    """HTML of `evaluation.monitoring.business.business_report`; nothing where it failed."""
    if section is None:
        return []
    return [
        "<h2>Business</h2>",
        "<h3>Wrongly acted-on accounts, against accounts like them</h3>",
        _engagement(section["engagement"]),
        "<h3>Spam that people saw</h3>", _exposure(section["exposure"]),
        "<h3>Enforcement</h3>", *_enforcement(section["enforcement"]),
        "<h3>Appeals</h3>", _appeals(section["appeals"]),
    ]  # fmt: skip


def _engagement(found: Mapping[str, Any] | None) -> str:
    if found is None or found["relative"] is None:
        return NOTHING
    doubted = "" if found["verdict"] == "estimated" else " (do not believe it: trends differ)"
    known_from, releases = (
        escape(", ".join(f"{name} {count}" for name, count in found["of"][counted].items()))
        for counted in ("sources", "releases")
    )
    placebo = found["placebo"]
    figures = [
        ("activity after", share(found["relative"])),
        ("trend before", share(found["trend"])),
        ("placebos as large", "–" if placebo is None else f"{placebo:.0%}"),
        ("accounts compared", f"{found['of']['matched']:,}"),
    ]
    lost = f"<p>Against what it would have been{doubted}. Known from: {known_from}."
    lost += f" By release: {releases}."
    return definitions(figures) + lost + _by_day(found["by_day"])


def _by_day(points: Sequence[tuple[int, float]]) -> str:
    """Activities a day more or less than those like them, by day since the action."""
    known = [(day, value) for day, value in points if value is not None]
    if len(known) < 2:
        return ""
    low, high = min(0.0, *(v for _, v in known)), max(0.0, *(v for _, v in known))
    first, last = known[0][0], known[-1][0]

    def at(day: float, value: float) -> str:
        x = EDGE + (WIDTH - 2 * EDGE) * (day - first) / max(last - first, 1)
        y = HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (value - low) / ((high - low) or 1)
        return f"{x:.1f},{y:.1f}"

    runs: list[list[tuple[int, float]]] = [[known[0]]]
    for before, now in pairwise(known):
        if now[0] != before[0] + 1:
            runs.append([])
        runs[-1].append(now)
    lines = "".join(
        f"<polyline points='{' '.join(at(*one) for one in run)}' class=data />" for run in runs
    )
    zero, acted = f"{at(first, 0)} {at(last, 0)}", f"{at(0, low)} {at(0, high)}"
    return (
        f"<figure><svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='activity by day'>"
        f"<polyline points='{zero}' class=axis /><polyline points='{acted}' class=axis />{lines}"
        f"</svg><figcaption>Activities a day above or below accounts like them, from {-first} days "
        f"before the action (the upright line) to {last} days after; {low:.2g} to {high:.2g}."
        "</figcaption></figure>"
    )


def _exposure(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return NOTHING
    figures = [
        ("of all views", share(found["share"])),
        ("views of spam", _count(found["views"])),
        ("reports of spam", _count(found["reports"])),
        ("all views", f"{found['of']['all_views']:,}"),
        ("all reports", f"{found['of']['all_reports']:,}"),
    ]
    seen = f"{found['of']['spam']} spam among {found['of']['labels']} audit labels"
    period = f"Last {len(found['days'])} days"
    return f"{definitions(figures)}<p>{period}. {seen} of what was let through."


def _enforcement(found: Mapping[str, Any]) -> list[str]:
    rows = [
        (dimension.replace("_", " "), value, f"{count:,}")
        for dimension, counts in sorted(found["by"].items())
        for value, count in counts.items()
    ]
    actions = sorted({action for one in found["over_time"] for action in one["actions"]})
    days = [
        (one["day"], *(f"{one['actions'].get(action, 0):,}" for action in actions))
        for one in found["over_time"]
    ]
    shown = f"<details><summary>In this window, by slice ({len(rows)})</summary>"
    return [
        table(("day", *actions), days),
        f"{shown}{table(('by', 'value', 'acted on'), rows, texts=2)}</details>" if rows else "",
    ]


def _appeals(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "<p>Nobody appealed yet."
    success = found["success"]
    figures = [
        ("submitted, this window", f"{found['submitted']:,}"),
        ("decided, this window", f"{found['decided']:,}"),
        ("overturned", share(_rate(success))),
        ("decided lately", f"{success['decided']:,}"),
    ]
    rows = [
        (
            one["dimension"].replace("_", " "), one["value"], f"{one['decided']:,}",
            share(_rate(one)), "more than elsewhere" if one["excessive"] else "",
        )
        for one in success["slices"]
    ]  # fmt: skip
    heads = ("by", "value", "decided", "overturned", "")
    shown = (
        f"<details><summary>By reason and slice</summary>{table(heads, rows, texts=2)}</details>"
    )
    return definitions(figures) + (shown if rows else "")


def _rate(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": one["share"], "low": one["low"], "high": one["high"]}


def _count(estimate: Mapping[str, float] | None) -> Markup:
    if estimate is None:
        return Markup("–")
    interval = f"{estimate['low']:,.0f} to {estimate['high']:,.0f}"
    return Markup(f"{estimate['value']:,.0f} <small>({interval})</small>")
