"""The benchmark's picture: each method's error and coverage by scenario."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

COLOURS = {"difference-in-differences": "#0b6e4f", "before and after alone": "#c58b2a"}


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """Write the picture as SVG."""
    rows = report["rows"]
    names = list(dict.fromkeys((row["source"], row["scenario"]) for row in rows))
    picture = Figure(figsize=(11, 1.6 + 0.32 * len(names)))
    error, coverage = picture.subplots(1, 2, sharey=True)
    coverage.axvspan(0.92, 0.98, color="#d7efe4")
    error.axvspan(-0.02, 0.02, color="#d7efe4")
    for number, (method, colour) in enumerate(COLOURS.items()):
        own = [row for row in rows if row["method"] == method]
        at = [names.index((row["source"], row["scenario"])) + 0.2 * number for row in own]
        wide = [1.96 * row["sd"] for row in own]
        error.errorbar([row["bias"] for row in own], at, xerr=wide, fmt="o", color=colour, ms=4)
        shares = [row["coverage"] for row in own]
        coverage.hlines(at, [s["low"] for s in shares], [s["high"] for s in shares], colour)
        coverage.plot([s["value"] for s in shares], at, "o", color=colour, label=method, ms=4)
    error.set_title("error of the effect: mean, and 95 % of simulations", loc="left", fontsize=9)
    coverage.set_title("share of 95 % intervals that hold the truth", loc="left", fontsize=9)
    error.set_yticks(range(len(names)), [f"{a}: {b}" for a, b in names], fontsize=8)
    error.invert_yaxis()
    for axis in (error, coverage):
        axis.grid(axis="x", color="#e8eaed")
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    picture.suptitle(
        "Simulated actions against real and simulated accounts (goals: the green bands)",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    handles, labels = coverage.get_legend_handles_labels()
    picture.legend(handles, labels, ncols=2, fontsize=8, frameon=False, loc="lower center")
    picture.tight_layout(rect=(0, 0.06, 1, 1))
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path
