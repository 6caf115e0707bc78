"""A reliability diagram (DeGroot and Fienberg 1983): how often what was scored so was spam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from data_contracts.reports import GateReport
from evaluation.gates.pictures.style import COLOURS, GRID, SOFT, one_panel

HEIGHT_INCHES = 3.3
BESIDE = 0.006  # the champion's points stand a little to the right, or they would be hidden
SMALLEST, LARGEST = 3.0, 9.0  # points; the area of a marker grows with the cases of its bin


def calibration(report: GateReport) -> Figure | None:
    """None where the report's details have no `calibration`."""
    found: Mapping[str, Any] = report.details.get("calibration") or {}
    drawn = {name: bins for name, bins in found.items() if name in COLOURS and bins}
    if not drawn:
        return None
    figure, axis = one_panel(HEIGHT_INCHES)
    axis.plot([0, 1], [0, 1], color=SOFT, lw=0.8, ls=(0, (4, 4)), label="perfect")
    for name in sorted(drawn):  # the champion first, so that the challenger lies on top
        _bins(axis, name, drawn[name])
    axis.set(
        xlabel="score (size of a mark: cases)", ylabel="share that was spam",
        xlim=(-0.02, 1.03), ylim=(-0.02, 1.03),
    )  # fmt: skip
    axis.set_title("Calibration")
    axis.grid(color=GRID)
    axis.legend(loc="upper left")
    return figure


def _bins(axis: Any, name: str, bins: Sequence[Mapping[str, Any]]) -> None:
    shift = BESIDE if name == "champion" else 0.0
    most = max(one["count"] for one in bins)
    style = {"color": COLOURS[name], "zorder": 3 if name == "challenger" else 2}
    for one in bins:
        x = one["predicted"] + shift
        axis.plot([x, x], [one["low"], one["high"]], lw=1.2, **style)
        size = SMALLEST + (LARGEST - SMALLEST) * (one["count"] / most) ** 0.5
        axis.plot(x, one["observed"], "o", ms=size, **style)
    axis.plot([], [], "o-", label=f"{name} (n={sum(one['count'] for one in bins)})", **style)
