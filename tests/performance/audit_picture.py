"""The benchmark's picture: coverage of each figure by scenario and method, with its interval."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

COLOURS = {
    "weighted audit": "#0b6e4f",
    "audit labels, unweighted": "#c58b2a",
    "all labels, unweighted": "#a9adb3",
}


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """Write the picture as SVG."""
    figures = list(dict.fromkeys(row["figure"] for row in report["rows"]))
    scenarios = list(dict.fromkeys(row["scenario"] for row in report["rows"]))
    picture = Figure(figsize=(12, 1.4 + 0.62 * len(scenarios)))
    axes = picture.subplots(1, len(figures), sharey=True)
    for axis, figure in zip(axes, figures, strict=True):
        axis.axvspan(0.92, 0.98, color="#d7efe4")
        for number, (method, colour) in enumerate(COLOURS.items()):
            chosen = [r for r in report["rows"] if (r["figure"], r["method"]) == (figure, method)]
            at = [scenarios.index(row["scenario"]) + 0.2 * (number - 1) for row in chosen]
            shares = [row["coverage"] for row in chosen]
            axis.hlines(at, [s["low"] for s in shares], [s["high"] for s in shares], colour)
            axis.plot([s["value"] for s in shares], at, "o", color=colour, label=method, ms=4)
        axis.set_title(figure.replace("_", " "), loc="left", fontsize=9)
        axis.set_xlim(-0.03, 1.03)
        axis.tick_params(labelsize=8)
        axis.grid(axis="x", color="#e8eaed")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(scenarios)), scenarios, fontsize=8)
    axes[0].invert_yaxis()
    picture.suptitle(
        "Share of simulations whose 95 % interval holds the truth (goal: the green band)",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    handles, names = axes[0].get_legend_handles_labels()
    picture.legend(handles, names, ncols=3, fontsize=8, frameon=False, loc="lower center")
    picture.tight_layout(rect=(0, 0.07, 1, 1))
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path
