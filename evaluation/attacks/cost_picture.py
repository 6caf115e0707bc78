"""Attack-cost curves as a picture: evasion against queries and edits, by slice and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from data_contracts.reports import GateReport

# As in evaluation.gates.pictures.style, which imports this module through its package.
WIDTH_INCHES = 4.4
COLOURS = {"challenger": "#0b6e4f", "champion": "#8a8f98"}
ROW_INCHES, REST_INCHES = 1.75, 0.75
PARTS = 5  # slices drawn at most: `all` and the largest others
LEAST_TOP = 0.1  # an axis never ends lower, so that one message does not look like a cliff
COSTS = ("queries", "edits")


def attack_costs(report: GateReport) -> Figure | None:
    """A row a slice, queries on the left and edits on the right; None without such data."""
    costs: Mapping[str, Any] = report.details.get("attack_costs") or {}
    models: Mapping[str, Any] = costs.get("models", {})
    parts = _parts(models)
    if not parts:
        return None
    height = REST_INCHES + ROW_INCHES * len(parts)
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    rows = figure.subplots(len(parts), 2, squeeze=False, sharex="col", sharey="row")
    for part, axes in zip(parts, rows, strict=True):
        _row(axes, part, {name: slices[part] for name, slices in models.items() if part in slices})
    for axis, cost in zip(rows[-1], COSTS, strict=True):
        axis.set_xlabel(f"{cost} a message")
    handles, labels = rows[0][0].get_legend_handles_labels()
    rate = 100 * costs["false_positive_rate"]
    figure.suptitle(
        f"Share that evades at {rate:.2g} % false positives", x=0.02, ha="left", size=10
    )
    figure.legend(handles, labels, loc="outside lower left", ncols=2, frameon=False)
    return figure


def _row(axes: Any, part: str, drawn: Mapping[str, Any]) -> None:
    top = max(curve[cost]["high"][-1] for curve in drawn.values() for cost in COSTS)
    for axis, cost in zip(axes, COSTS, strict=True):
        for name, curve in drawn.items():
            _line(axis, curve[cost], name)
        axis.grid(axis="y", color="#e8eaed")
    sizes = ", ".join(str(curve["caught"]) for curve in drawn.values())
    axes[0].set_ylim(0, min(1.02, max(LEAST_TOP, 1.1 * top)))
    axes[0].set_title(f"{part.partition('=')[2] or part}  (n={sizes})", loc="left", size=9)
    axes[1].set_xscale("log")
    axes[1].set_xticks([1, 10, 100], ["1", "10", "100"])
    axes[1].minorticks_off()


def _line(axis: Any, points: Mapping[str, Any], name: str) -> None:
    at, colour = points["at"], COLOURS[name]
    axis.plot(at, points["rate"], drawstyle="steps-post", color=colour, label=name, lw=1.6)
    axis.fill_between(
        at, points["low"], points["high"], step="post", color=colour, alpha=0.15, lw=0
    )


def _parts(models: Mapping[str, Any]) -> list[str]:
    """`all` first, then the slices with the most messages; none that is all again."""
    sizes: dict[str, int] = {}
    for slices in models.values():
        for part, curve in slices.items():
            if "queries" in curve:
                sizes[part] = max(sizes.get(part, 0), curve["caught"])
    whole = sizes.pop("all", 0)
    others = sorted((-size, part) for part, size in sizes.items() if size < whole)
    return ["all", *(part for _, part in others)][:PARTS] if whole else []
