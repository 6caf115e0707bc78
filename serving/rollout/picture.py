"""A rollout as pictures (SVG): its phases on a time line, and the judge's intervals narrowing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from serving.rollout.story import Record, Span, Story

COLOURS = {"pass": "#0b6e4f", "fail": "#b3261e", "not_enough_evidence": "#b26a00"}
CANARY, COPIES, CHAMPION, DIM = "#b26a00", "#3c6fb4", "#c9cdd3", "#8a8f98"
COLUMNS, MOST_PANELS = 3, 12
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600}  # the longest that shows more than three
LABELLED_SHARE = 0.03  # of the time line: shorter phases have no room for a name
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "svg.hashsalt": "weir",  # the same story gives the same bytes
    "svg.fonttype": "none",
}


def time_line(story: Story) -> bytes:
    """Percent of requests that the candidate answered, over time; copies are hatched."""
    start = story.spans[0].start
    total = (story.spans[-1].end - start).total_seconds()
    unit = next((name for name in reversed(UNITS) if total > 3 * UNITS[name]), "seconds")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 2.9))
        axis = figure.subplots()
        for span in story.spans:
            begin, end = (
                (moment - start).total_seconds() / UNITS[unit] for moment in (span.start, span.end)
            )
            _phase(axis, span, begin, end)
            if span.seconds >= LABELLED_SHARE * total:
                axis.text(begin, 101, span.name, rotation=25, ha="left", va="bottom", fontsize=8)
        axis.set_ylim(0, 100)
        axis.set_xlim(left=0)
        axis.set_xlabel(f"{unit} since the start")
        axis.set_ylabel("percent of requests")
        figure.tight_layout()
        return _svg(figure)


def _phase(axis: Any, span: Span, begin: float, end: float) -> None:
    axis.fill_between([begin, end], span.weight, 100, color=CHAMPION, alpha=0.35, lw=0)
    axis.fill_between([begin, end], 0, span.weight, color=CANARY, alpha=0.75, lw=0)
    if span.mirror:
        axis.fill_between([begin, end], 0, 100, facecolor="none", edgecolor=COPIES, hatch="//",
                          alpha=0.35, lw=0)  # fmt: skip
    axis.axvline(end, color=COLOURS.get(span.verdict, DIM), lw=1)


def metrics(story: Story) -> tuple[str, ...]:
    """Those that get a panel: what fails or is waited for first, and what was measured at all."""
    seen: dict[str, bool] = {}
    for record in story.measurements:
        for one in record["measurements"]:
            if one["estimate"] is not None:
                matters = one["verdict"] == "fail" or bool(one.get("required", True))
                seen[one["metric"]] = seen.get(one["metric"], False) or matters
    ordered = sorted(seen, key=lambda name: (not seen[name], ":" in name))
    return tuple(ordered[:MOST_PANELS])


def intervals(story: Story) -> bytes:
    """A panel a metric: harm and its interval at each look that was kept, phase after phase.

    Dotted: the tolerance, beyond which the whole interval fails; dashed: the margin, within which
    it passes.
    """
    names = metrics(story)
    rows = max(1, -(-len(names) // COLUMNS))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * COLUMNS, 2.4 * rows))
        axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axis, name in zip(axes, names, strict=False):
            _panel(axis, name, story.measurements)
        for axis in axes[len(names) :]:
            axis.set_visible(False)
        figure.tight_layout()
        return _svg(figure)


def _panel(axis: Any, name: str, records: Sequence[Record]) -> None:
    looks = [
        (record, one)
        for record in records
        for one in record["measurements"]
        if one["metric"] == name and one["estimate"] is not None
    ]
    end = looks[-1][1]
    margin, tolerance = end.get("margin"), end["bound"]
    limits = _limits([one for _, one in looks], margin, tolerance)
    for place, (_, one) in enumerate(looks):
        low = limits[0] if one["low"] is None else max(one["low"], limits[0])
        high = limits[1] if one["high"] is None else min(one["high"], limits[1])
        colour = COLOURS[one["verdict"]]
        axis.vlines(place, low, high, color=colour, lw=1.6, alpha=0.6)
        axis.plot(place, one["estimate"], ".", color=colour, ms=4)
    _phase_marks(axis, [record for record, _ in looks])
    axis.axhline(tolerance, color=DIM, lw=0.9, ls=":")
    if margin is not None:
        axis.axhline(margin, color=DIM, lw=0.9, ls="--")
    axis.set_ylim(*limits)
    axis.set_title(name, fontsize=9, loc="left")


def _limits(looks: Sequence[Record], margin: float | None, tolerance: float) -> tuple[float, float]:
    """From all estimates and bounds, with room for what of the intervals is of interest."""
    values = [one["estimate"] for one in looks]
    last = looks[-1]
    values += [
        value for value in (margin, tolerance, last["low"], last["high"]) if value is not None
    ]
    low, high = min(values), max(values)
    room = 0.35 * ((high - low) or 1.0)
    return low - room, high + room


def _phase_marks(axis: Any, records: Sequence[Record]) -> None:
    """The requests seen, and a line where the next phase begins."""
    places = []
    for place, record in enumerate(records):
        new = place == 0 or (record["phase"], record["weight"]) != (
            records[place - 1]["phase"], records[place - 1]["weight"],
        )  # fmt: skip
        if new:
            places.append(place)
            axis.axvline(place - 0.5, color=DIM, lw=0.6, alpha=0.6)
    names = [
        f"{records[place]['weight']} %" if records[place]["weight"] else records[place]["phase"]
        for place in places
    ]
    axis.set_xticks(places, names, fontsize=7)


def _svg(figure: Figure) -> bytes:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    svg = drawn.getvalue()
    return svg[svg.index(b"<svg") :]
