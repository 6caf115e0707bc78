"""The plan as pictures (SVG): latency against load, and pods against load."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from serving.capacity.planning import CapacityPlan, PoolPlan
from serving.capacity.sizing import GROUP_PODS

LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)  # of the least pods' capacity
PERCENTILES = {50: "#a3cbb8", 95: "#3f9c7a", 99: "#0b3d2e"}
BUDGET, PLANNED, LOST = "#b3261e", "#202124", "#b26a00"
POOL_COLOURS = ("#0b6e4f", "#3c6fb4", "#8a8f98")
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "svg.hashsalt": "weir",  # the same plan gives the same bytes
    "svg.fonttype": "none",
}


def latency_picture(plan: CapacityPlan) -> bytes:
    """Every pool: percentiles at shares of the load that the least pods can carry at all."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.9 * len(plan.pools), 3.7))
        axes = figure.subplots(1, len(plan.pools), squeeze=False)[0]
        for axis, pool in zip(axes, plan.pools, strict=True):
            _latencies(axis, pool, plan)
        axes[0].set_ylabel("milliseconds (log)")
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, ncols=len(names), frameon=False, loc="lower center")
        figure.tight_layout(rect=(0, 0.08, 1, 1))
        return _svg(figure)


def _latencies(axis: Any, pool: PoolPlan, plan: CapacityPlan) -> None:
    shape, pods = pool.sustained.shape, pool.least.pods
    group = min(pods, GROUP_PODS)
    capacity = pool.simulator.capacity(shape) * pods
    budget = pool.limits.p99_milliseconds
    found = [
        pool.simulator.steady(load * capacity * group / pods, group, shape, budget)
        for load in LOADS
    ]
    rates = [load * capacity for load in LOADS]
    for at, colour in PERCENTILES.items():
        estimates = [one.percentiles[at] for one in found]
        axis.plot(rates, [one.value for one in estimates], color=colour, label=f"p{at}", lw=1.6)
        axis.fill_between(
            rates, [one.low for one in estimates], [one.high for one in estimates],
            color=colour, alpha=0.2, lw=0,
        )  # fmt: skip
    rate = plan.scenario.verdicts_per_second * pool.demand.share_of_verdicts
    axis.axhline(budget, color=BUDGET, lw=1, ls="--", label="budget of p99")
    axis.axvline(rate, color=PLANNED, lw=1, ls=":", label="planned load")
    left = plan.scenario.zones.left(pods) / pods
    if left:
        axis.axvspan(
            pool.simulator.capacity(shape) * pods * left, max(*rates, rate * 1.02), color=LOST,
            alpha=0.12, lw=0, label="no steady state without a zone",
        )  # fmt: skip
    axis.set(yscale="log", xlim=(0, max(*rates, rate * 1.02)), xlabel="requests/s of the pool")
    axis.xaxis.set_major_formatter(_thousands)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(_thousands)
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_title(f"{pool.demand.name}: {pods:,} pods", loc="left")
    axis.grid(axis="y", color="#e8eaed")
    axis.set_axisbelow(True)


def pods_picture(plan: CapacityPlan) -> bytes:
    """Pods of each pool for up to twice the load: with every zone, and to keep a lost one."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 3.4))
        axis = figure.subplots()
        loads = np.linspace(0, 2 * plan.scenario.verdicts_per_second, 81)
        zones = plan.scenario.zones
        for pool, colour in zip(plan.pools, POOL_COLOURS, strict=False):
            rates = loads * pool.demand.share_of_verdicts
            least = np.array([zones.rounded(int(np.ceil(r / pool.sustained.rate))) for r in rates])
            name = f"{pool.demand.name} ({pool.demand.hardware.upper()})"
            axis.plot(loads, least, color=colour, lw=1.8, label=name)
            if zones.count > 1:
                kept = zones.count / (zones.count - 1)
                axis.plot(loads, least * kept, color=colour, lw=1.2, ls="--")
            for sized in {pool.least.pods, pool.kept.pods}:
                axis.plot(plan.scenario.verdicts_per_second, sized, "o", color=colour, ms=4)
        axis.axvline(plan.scenario.verdicts_per_second, color=PLANNED, lw=1, ls=":")
        axis.set(xlabel="verdicts/s", ylabel="pods", xlim=(0, loads[-1]), ylim=(0, None))
        axis.xaxis.set_major_formatter(_thousands)
        axis.yaxis.set_major_formatter(_thousands)
        axis.set_title("solid: every zone stands; dashed: a lost zone is kept", loc="left")
        axis.legend(frameon=False, loc="upper left")
        axis.grid(color="#e8eaed")
        axis.set_axisbelow(True)
        figure.tight_layout()
        return _svg(figure)


def _thousands(value: float, _position: float) -> str:
    for unit, name in ((1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:g}{name}"
    return f"{value:g}"


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return buffer.getvalue()
