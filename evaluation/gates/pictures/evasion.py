"""What escapes under each attack, as bars with their intervals."""

from __future__ import annotations

from matplotlib.figure import Figure

from data_contracts.reports import GateReport
from evaluation.gates.pictures.style import COLOURS, GRID, INK, VERDICTS, one_panel

ROW_INCHES, REST_INCHES = 0.42, 0.9


def evasion(report: GateReport) -> Figure | None:
    """None where the report has no figure of that name."""
    metrics = [metric for metric in report.metrics if metric.name == "evasion"]
    if not metrics:
        return None
    own = report.details.get("champion_metrics") or ()
    before = {m["slice"]: m["value"] for m in own if m["name"] == "evasion"}
    figure, axis = one_panel(REST_INCHES + ROW_INCHES * len(metrics))
    for row, metric in enumerate(metrics):
        low, high = metric.low or 0.0, metric.high or metric.value
        axis.barh(row, metric.value, color=VERDICTS[metric.verdict], height=0.5)
        axis.plot([low, high], [row, row], color=INK, lw=1.2)
        if metric.bound is not None:
            axis.plot([metric.bound] * 2, [row - 0.4, row + 0.4], color=INK, lw=1.2, ls=":")
        if metric.slice in before:
            axis.plot(before[metric.slice], row + 0.34, "D", color=COLOURS["champion"], ms=3.5)
    axis.set_yticks(range(len(metrics)), [f"{m.slice}\nn={m.sample_size}" for m in metrics])
    axis.invert_yaxis()
    widest = max(max(m.high or m.value, m.bound or 0.0, before.get(m.slice, 0.0)) for m in metrics)
    axis.set(xlim=(0, min(1.0, 1.15 * widest)), xlabel="share that escapes (dotted: bound)")
    axis.set_title("Evasion at the model's own threshold")
    axis.grid(axis="x", color=GRID)
    return figure
