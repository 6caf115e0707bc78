"""A gate's report as pictures (SVG), drawn from the report alone.

Curves at low false-positive rates with the champion beside the challenger, slices as a forest
plot, evasion under attack as bars.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from data_contracts.files import write_atomically
from data_contracts.reports import GateReport, Metric

COLOURS = {"challenger": "#0b6e4f", "champion": "#8a8f98"}
VERDICTS = {"pass": "#0b6e4f", "fail": "#b3261e", "not_enough_evidence": "#b26a00", None: "#5f6368"}
LOWEST_RATE = 1e-3
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "svg.hashsalt": "weir",  # the same report gives the same bytes
    "svg.fonttype": "none",
}


def draw(report: GateReport, folder: Path) -> list[Path]:
    """Write every picture that the report has figures for, named `{gate}-{picture}.svg`."""
    drawn = []
    for name, picture in PICTURES.items():
        with mpl.rc_context(STYLE):
            figure = picture(report)
            if figure is not None:
                path = folder / f"{report.gate}-{name}.svg"
                write_atomically(path, _svg(figure))
                drawn.append(path)
    return drawn


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return buffer.getvalue()


def _curves(report: GateReport) -> Figure | None:
    curves: Mapping[str, Any] = report.details.get("curves", {})
    if not curves:
        return None
    figure = Figure(figsize=(8.4, 3.6))
    precision_recall, roc = figure.subplots(1, 2)
    for name, points in curves.items():
        style = {"color": COLOURS[name], "lw": 2 if name == "challenger" else 1.3}
        at = points["operating_point"]
        precision_recall.plot(
            [0.0, *points["recall"]], [1.0, *points["precision"]],
            drawstyle="steps-pre", label=name, **style,
        )  # fmt: skip
        rates = [max(rate, LOWEST_RATE) for rate in points["false_positive_rate"]]
        roc.plot([LOWEST_RATE, *rates], [0.0, *points["recall"]], drawstyle="steps-post", **style)
        roc.plot(
            max(at["false_positive_rate"], LOWEST_RATE), at["recall"], "o",
            color=COLOURS[name], ms=7, mec="white", label=f"{name} at its threshold",
        )  # fmt: skip
    precision_recall.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    precision_recall.set_title("Precision and recall", loc="left")
    roc.set(
        xscale="log", xlabel="false-positive rate (log; 0 drawn at the left edge)",
        ylabel="recall", xlim=(LOWEST_RATE * 0.9, 1), ylim=(0, 1.02),
    )  # fmt: skip
    roc.set_title("ROC at low false-positive rates", loc="left")
    precision_recall.legend(frameon=False, loc="lower left")
    roc.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    return figure


def _slices(report: GateReport) -> Figure | None:
    wanted = ("recall", "false_positive_rate", "false_positive_gap")
    names = [
        name for name in wanted if any(m.name == name and "=" in m.slice for m in report.metrics)
    ]
    if not names:
        return None
    panels = {name: [m for m in report.metrics if m.name == name] for name in names}
    height = 1.2 + 0.32 * max(len(panel) for panel in panels.values())
    figure = Figure(figsize=(3.4 * len(names) + 1.2, height))
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        _forest(axis, name, panels[name])
    figure.tight_layout()
    return figure


def _forest(axis: Any, name: str, metrics: Sequence[Metric]) -> None:
    """One row a slice: estimate, 95 % interval, size, and the bound as a tick."""
    for row, metric in enumerate(metrics):
        colour = VERDICTS[metric.verdict]
        low, high = metric.low or 0.0, metric.value if metric.high is None else metric.high
        axis.plot([low, high], [row, row], color=colour, lw=1.6)
        axis.plot(metric.value, row, "s", color=colour, ms=5)
        if metric.bound is not None:
            axis.plot([metric.bound] * 2, [row - 0.32, row + 0.32], color="#202124", lw=1)
    labels = [f"{m.slice.partition('=')[2] or m.slice}  (n={m.sample_size})" for m in metrics]
    axis.set_yticks(range(len(metrics)), labels)
    axis.set_ylim(len(metrics) - 0.4, -0.6)
    if name == "recall":
        axis.set_xlim(0, 1.03)
    axis.locator_params(axis="x", nbins=5)
    axis.set_title(f"{name.replace('_', ' ')} (black tick: bound)", loc="left")
    axis.grid(axis="x", color="#e8eaed")
    axis.set_axisbelow(True)


def _evasion(report: GateReport) -> Figure | None:
    metrics = [metric for metric in report.metrics if metric.name == "evasion"]
    if not metrics:
        return None
    figure = Figure(figsize=(5.2, 0.9 + 0.6 * len(metrics)))
    axis = figure.subplots()
    for row, metric in enumerate(metrics):
        low, high = metric.low or 0.0, metric.high or metric.value
        axis.barh(row, metric.value, color=VERDICTS[metric.verdict], height=0.55, alpha=0.85)
        axis.plot([low, high], [row, row], color="#202124", lw=1.2)
        if metric.bound is not None:
            axis.plot([metric.bound] * 2, [row - 0.4, row + 0.4], color="#202124", lw=1.2, ls=":")
    axis.set_yticks(range(len(metrics)), [f"{m.slice}  (n={m.sample_size})" for m in metrics])
    axis.invert_yaxis()
    widest = max(max(m.high or m.value, m.bound or 0.0) for m in metrics)
    axis.set(xlim=(0, min(1.0, 1.25 * widest)), xlabel="share that escapes (dotted: bound)")
    axis.set_title("Evasion at the model's own threshold", loc="left")
    figure.tight_layout()
    return figure


PICTURES: Mapping[str, Callable[[GateReport], Figure | None]] = {
    "curves": _curves,
    "slices": _slices,
    "evasion": _evasion,
}
