"""The sample report's pictures: inline SVG, drawn from the report alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

COLOURS = ("#8a8f98", "#0b6e4f", "#4a7fb5", "#b3261e", "#c58b2a", "#7a5195", "#2f4b7c")
WIDTH = 5.4
TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.size": 9,
    "svg.hashsalt": "weir",  # the same report gives the same bytes
}
Report = Mapping[str, Any]


def pictures(report: Report) -> dict[str, str]:
    """SVG by name, of everything that the report has figures for."""
    drawn = {}
    for name, picture in PICTURES.items():
        with mpl.rc_context(STYLE):
            figure = picture(report)
            if figure is not None:
                drawn[name] = _svg(figure)
    return drawn


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return buffer.getvalue().partition("<svg")[2].join(("<svg", ""))


def _learning(report: Report) -> Figure | None:
    curve = report["learning_curve"]
    if curve is None:
        return None
    figure = Figure(figsize=(WIDTH, 3.1))
    axis = figure.subplots()
    names = {"everything": "all labels", "audit": "the audit's alone"}
    for (name, shown), colour in zip(names.items(), ("#0b6e4f", "#8a8f98"), strict=True):
        points = curve[name]
        counts = [point["labels"] for point in points]
        axis.plot(
            counts, [point["average_precision"] for point in points],
            "o-", color=colour, label=shown, ms=4,
        )  # fmt: skip
    axis.set(xscale="log", xlabel="labels taught", ylabel="average precision on the audit")
    most = max(point["labels"] for name in names for point in curve[name])
    axis.set_xticks([n for n in TICKS if n <= most], [f"{n:,}" for n in TICKS if n <= most])
    axis.xaxis.set_minor_formatter(lambda *_: "")
    axis.grid(axis="y", color="#e8eaed")
    axis.legend(frameon=False, loc="lower right")
    axis.set_title("What the labels taught a simple model", loc="left")
    return figure


def _worth(report: Report) -> Figure | None:
    arms = [arm for arm in report["arms"] if arm["worth"] is not None]
    if not arms:
        return None
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(arms)))
    axis = figure.subplots()
    colours = _colours(report)
    for row, arm in enumerate(arms):
        worth = arm["worth"]
        axis.barh(row, worth["bits"], color=colours[arm["arm"]], height=0.6)
        axis.plot(
            [worth["bits"] - 2 * worth["error"], worth["bits"] + 2 * worth["error"]],
            [row, row], color="#202124", lw=1.2,
        )  # fmt: skip
    axis.axvline(0, color="#202124", lw=0.8)
    axis.set_yticks(range(len(arms)), [arm["arm"].replace("_", " ") for arm in arms])
    axis.invert_yaxis()
    axis.locator_params(axis="x", nbins=5)
    axis.set_xlabel("bits of audit loss saved by a hundred labels (± 2 standard errors)")
    axis.set_title("What each arm's labels were worth", loc="left")
    return figure


def _scores(report: Report) -> Figure | None:
    """Of the events in each step of the score, the part that each arm chose."""
    found = report["scores"]
    pool = np.array(found["pool"])
    if not pool.any():
        return None
    figure = Figure(figsize=(WIDTH, 3.1))
    axis = figure.subplots()
    edges = np.linspace(0, 1, len(pool) + 1)
    bottom = np.zeros(len(pool))
    colours = _colours(report)
    for arm, counts in found["arms"].items():
        part = np.array(counts) / np.maximum(pool, 1)
        axis.bar(
            edges[:-1], part, np.diff(edges), bottom, align="edge",
            color=colours[arm], edgecolor="white", lw=0.5, label=arm.replace("_", " "),
        )  # fmt: skip
        bottom += part
    for left, count in zip(edges[:-1], pool, strict=True):
        if count:
            axis.text(left + edges[1] / 2, 1.02, f"{count:,}", fontsize=8, ha="center")
    axis.axvline(report["pool"]["threshold"], color="#202124", ls=":", lw=1.4, label="threshold")
    axis.set(xlabel="score (above the bars: events of the pool)", xlim=(0, 1), ylim=(0, 1.1))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}" if value <= 1 else "")
    axis.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    axis.set_title("Where the chosen events lie", loc="left")
    return figure


def _languages(report: Report) -> Figure | None:
    by_arm = report["languages"]
    known = list(by_arm["pool"])[:6]
    figure = Figure(figsize=(WIDTH, 1.1 + 0.36 * len(by_arm)))
    axis = figure.subplots()
    shades = mpl.colormaps["viridis"](np.linspace(0.15, 0.9, len(known) + 1))
    for row, (_, counts) in enumerate(by_arm.items()):
        total, left = max(sum(counts.values()), 1), 0.0
        parts = [counts.get(name, 0) / total for name in known]
        for part, shade in zip([*parts, 1 - sum(parts)], shades, strict=True):
            axis.barh(row, part, left=left, color=shade, height=0.7)
            left += part
    names = [f"{name.replace('_', ' ')} ({sum(n.values())})" for name, n in by_arm.items()]
    axis.set_yticks(range(len(by_arm)), names)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    shown = [*known, "other"] if len(by_arm["pool"]) > len(known) else known
    handles = [mpl.patches.Patch(color=shade) for shade in shades[: len(shown)]]
    axis.legend(
        handles, shown, frameon=False, fontsize=8, ncols=len(shown),
        loc="upper center", bbox_to_anchor=(0.5, -0.14),
    )  # fmt: skip
    axis.set_title("Languages", loc="left")
    return figure


def _campaigns(report: Report) -> Figure | None:
    found = [one for one in report["campaigns"] if one["campaigns"]]
    if not found:
        return None
    figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(found)))
    axis = figure.subplots(gridspec_kw={"left": 0.17, "right": 0.68})
    for row, one in enumerate(found):
        share = one["looked_at"] / one["campaigns"]
        axis.barh(row, 1, color="#e8eaed", height=0.6)
        axis.barh(row, share, color="#0b6e4f", height=0.6)
        said = f"{one['looked_at']:,} of {one['campaigns']:,} ({one['events']:,} events)"
        axis.text(1.03, row, said, va="center", fontsize=8)
    axis.set_yticks(range(len(found)), [one["size"] for one in found])
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), ylabel="events alike")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.set_title("Campaigns of which a reviewer sees an event", loc="left")
    return figure


def _colours(report: Report) -> dict[str, str]:
    return dict(zip(arm_names(report), COLOURS * len(arm_names(report)), strict=False))


def arm_names(report: Report) -> Sequence[str]:
    """The report's arms in their order, which is that of their colours."""
    return [arm["arm"] for arm in report["arms"]]


PICTURES: Mapping[str, Callable[[Report], Figure | None]] = {
    "scores": _scores,
    "learning": _learning,
    "worth": _worth,
    "campaigns": _campaigns,
    "languages": _languages,
}
