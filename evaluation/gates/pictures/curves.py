"""Precision and recall, and ROC where false positives are few: champion beside challenger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from data_contracts.reports import GateReport
from evaluation.gates.pictures.style import COLOURS, GRID, one_panel

HEIGHT_INCHES = 3.1
LOWEST_RATE = 1e-3
WIDE, THIN = 2.0, 1.3


def precision_recall(report: GateReport) -> Figure | None:
    """None where the report has no `curves`."""
    curves = _curves(report)
    if not curves:
        return None
    figure, axis = one_panel(HEIGHT_INCHES)
    for name, points in curves.items():
        axis.plot(
            [0.0, *points["recall"]], [1.0, *points["precision"]],
            drawstyle="steps-pre", label=name, **_line(name),
        )  # fmt: skip
    axis.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    axis.set_title("Precision and recall")
    axis.grid(color=GRID)
    axis.legend(loc="lower left")
    return figure


def roc(report: GateReport) -> Figure | None:
    """None where the report has no `curves`; the axis of false positives is logarithmic."""
    curves = _curves(report)
    if not curves:
        return None
    figure, axis = one_panel(HEIGHT_INCHES)
    for name, points in curves.items():
        rates = [max(rate, LOWEST_RATE) for rate in points["false_positive_rate"]]
        axis.plot(
            [LOWEST_RATE, *rates], [0.0, *points["recall"]],
            drawstyle="steps-post", **_line(name),
        )  # fmt: skip
        at = points["operating_point"]
        axis.plot(
            max(at["false_positive_rate"], LOWEST_RATE), at["recall"], "o",
            color=COLOURS[name], ms=7, label=f"{name} at its threshold",
        )  # fmt: skip
    axis.set(
        xscale="log", xlabel="false-positive rate (0 is drawn at the left edge)", ylabel="recall",
        xlim=(LOWEST_RATE * 0.9, 1), ylim=(0, 1.02),
    )  # fmt: skip
    axis.set_xticks([0.001, 0.01, 0.1, 1.0], ["0.1 %", "1 %", "10 %", "100 %"])
    axis.set_title("ROC at low false-positive rates")
    axis.grid(color=GRID)
    axis.legend(loc="lower right")
    return figure


def _curves(report: GateReport) -> Mapping[str, Any]:
    found: Mapping[str, Any] = report.details.get("curves") or {}
    return {name: found[name] for name in COLOURS if name in found}


def _line(name: str) -> dict[str, Any]:
    """The champion is drawn last and dashed: where both agree, both are seen."""
    challenger = name == "challenger"
    return {
        "color": COLOURS[name],
        "lw": WIDE if challenger else THIN,
        "ls": "-" if challenger else "--",
    }
