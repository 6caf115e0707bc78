"""The benchmark's picture: average precision and recall at 0.1 % by set, with intervals."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

COLOURS = {
    ("Weir", "all sets"): "#0b6e4f",
    ("Weir", "this set"): "#74b49b",
    ("TF-IDF + LR", "all sets"): "#5f6368",
    ("TF-IDF + LR", "this set"): "#a9adb3",
    ("bogofilter", "this set"): "#c58b2a",
}
PANELS = {
    "average_precision": "average precision",
    "recall_at_0.1%": "recall where the threshold was set for 0.1 % false positives",
}


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """Write the picture as SVG."""
    sets = list(dict.fromkeys(row["set"] for row in report["rows"]))
    figure = Figure(figsize=(9.5, 1.2 + 0.85 * len(sets)))
    axes = figure.subplots(1, len(PANELS), sharey=True)
    for axis, (key, title) in zip(axes, PANELS.items(), strict=True):
        for system, colour in COLOURS.items():
            rows = [r for r in report["rows"] if (r["system"], r["trained_on"]) == system]
            offset = 0.15 * (list(COLOURS).index(system) - 2)
            at = [sets.index(row["set"]) + offset for row in rows]
            axis.hlines(
                at, [row[key]["low"] for row in rows], [row[key]["high"] for row in rows], colour
            )
            label = f"{system[0]}, {system[1]}"
            axis.plot([row[key]["value"] for row in rows], at, "o", color=colour, label=label)
        axis.set_title(title, loc="left", fontsize=9)
        axis.grid(axis="x", color="#e8eaed")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(sets)), [name.removeprefix("text_") for name in sets])
    axes[0].invert_yaxis()
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=5, fontsize=8, frameon=False, loc="lower center")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path
