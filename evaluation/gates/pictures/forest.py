"""Forest plots: one row a slice, estimate with its 95 % interval, bound, champion beside it.

Lewis and Clarke 2001, "Forest plots: trying to see the wood and the trees".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from data_contracts.reports import GateReport, Metric
from evaluation.gates.pictures.style import (
    COLOURS,
    GRID,
    INK,
    SOFT,
    VERDICTS,
    WIDTH_INCHES,
)

ROWS_AT_MOST = 18  # a panel; what is nearest to its bound
ROW_INCHES, PANEL_INCHES = 0.36, 0.85
LABEL_ABOVE, TICK_BELOW, CHAMPION_BELOW = 0.12, 0.22, 0.26  # parts of a row
SHARES = ("recall", "false_positive_rate", "evasion")


def forest(report: GateReport) -> Figure | None:
    """A panel a figure that the report has slices of; None where it has none."""
    panels: dict[str, list[Metric]] = {}
    for metric in report.metrics:
        if "=" in metric.slice and metric.low is not None and metric.high is not None:
            panels.setdefault(metric.name, []).append(metric)
    if not panels:
        return None
    before = {(m["name"], m["slice"]): m for m in report.details.get("champion_metrics") or ()}
    rows = {name: nearest(metrics) for name, metrics in panels.items()}
    heights = [PANEL_INCHES + ROW_INCHES * len(shown) for shown in rows.values()]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
    axes = figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, (name, shown) in zip(axes, rows.items(), strict=True):
        _panel(axis, name, shown, before)
        if len(shown) < len(panels[name]):
            note = f"{len(shown)} of {len(panels[name])} slices, those nearest to their bound"
            axis.set_xlabel(note, loc="left", color=SOFT)
    return figure


def nearest(metrics: Sequence[Metric]) -> list[Metric]:
    """At most ROWS_AT_MOST, in their own order; judged ones and the nearest to their bound stay."""
    order = sorted(range(len(metrics)), key=lambda row: _room(metrics[row]))
    return [metrics[row] for row in sorted(order[:ROWS_AT_MOST])]


def _room(metric: Metric) -> tuple[bool, float]:
    if metric.bound is None:
        return True, -metric.sample_size
    side = 1.0 if metric.direction == "at_least" else -1.0
    return False, side * (metric.value - metric.bound)


def _panel(
    axis: Any, name: str, metrics: Sequence[Metric], before: Mapping[tuple[str, str], Any]
) -> None:
    for row, metric in enumerate(metrics):
        _row(axis, row, metric, before.get((name, metric.slice)))
    axis.set_ylim(len(metrics) - 0.4, -0.7)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.locator_params(axis="x", nbins=5)
    axis.margins(x=0.04)
    if name in SHARES:
        axis.set_xlim(left=-0.005)
    else:
        axis.axvline(0.0, color=SOFT, lw=0.8)
    axis.set_title(name.replace("_", " "))
    axis.grid(axis="x", color=GRID)


def _row(axis: Any, row: int, metric: Metric, before: Mapping[str, Any] | None) -> None:
    """Name and size above the line, so that long names cost no width."""
    colour = VERDICTS[metric.verdict]
    across = axis.get_yaxis_transform()
    text = {"va": "bottom", "transform": across, "fontsize": 8}
    axis.text(0.0, row - LABEL_ABOVE, metric.slice, color=INK, ha="left", **text)
    figures = f"{round(metric.value, 3) + 0.0:.3f}, n={metric.sample_size}"
    axis.text(1.0, row - LABEL_ABOVE, figures, color=SOFT, ha="right", **text)
    axis.plot([metric.low, metric.high], [row, row], color=colour, lw=2.0, solid_capstyle="butt")
    axis.plot(metric.value, row, "s", color=colour, ms=5)
    if metric.bound is not None:
        tick = [row - LABEL_ABOVE, row + TICK_BELOW]
        axis.plot([metric.bound] * 2, tick, color=INK, lw=1.2)
    if before is not None and before.get("low") is not None:
        below, grey = [row + CHAMPION_BELOW] * 2, COLOURS["champion"]
        axis.plot([before["low"], before["high"]], below, color=grey, lw=1.2)
        axis.plot(before["value"], below[0], "D", color=grey, ms=3.5)
