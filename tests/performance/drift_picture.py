"""The benchmark's picture: seconds, memory, and the features in the order of what is at stake."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

HARMFUL, HARMLESS, QUIET = "#c5221f", "#e8a33d", "#9aa0a6"


def draw(report: Mapping[str, Any], path: Path, memory_goal: float) -> Path:
    """Write the picture as SVG."""
    figure = Figure(figsize=(10, 5.2))
    stakes, cost = figure.subplots(1, 2, width_ratios=(3, 2))
    found = report["features"]
    colours = [_colour(one) for one in found]
    stakes.barh(
        [one["feature"] for one in found],
        [100 * one["effect"]["at_stake"] for one in found],
        color=colours,
    )
    for one in found:
        if one["drifted"]:
            text = f" {one['planted'] or 'not planted'}; distance {one['jensen_shannon']:.2f}"
            stakes.text(
                100 * one["effect"]["at_stake"], one["feature"], text, va="center", fontsize=7
            )
    stakes.invert_yaxis()
    stakes.margins(x=0.5)
    stakes.set_title(
        "verdicts at stake, points; red: harmful drift, yellow: harmless", loc="left", fontsize=9
    )
    runs = [f"{row['run']}\n{row['rows'] / 1e6:g} M rows" for row in report["rows"]]
    cost.barh(runs, [row["peak_gib"] for row in report["rows"]], color="#5f6368")
    for run, row in zip(runs, report["rows"], strict=True):
        cost.text(row["peak_gib"], run, f" {row['seconds']:.0f} s", va="center", fontsize=8)
    cost.axvline(memory_goal, color=HARMFUL, linestyle="--", linewidth=1)
    cost.invert_yaxis()
    cost.margins(x=0.2)
    cost.set_title("peak memory, GiB; dashed: the goal", loc="left", fontsize=9)
    for axis in (stakes, cost):
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _colour(one: Mapping[str, Any]) -> str:
    if one["planted"] is None:
        return QUIET
    return HARMLESS if one["planted"] == "harmless shift" else HARMFUL
