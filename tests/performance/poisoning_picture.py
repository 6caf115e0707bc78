"""The benchmark's picture: what is caught, who is accused, and what removal gives back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

COLOURS = {
    "poisoned - clean": "#b3261e",
    "removed - clean": "#0b6e4f",
    "asked again - clean": "#3b6ea8",
}


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """Write the picture as SVG."""
    rows, restored = report["rows"], report["restored"]
    figure = Figure(figsize=(11, 1.6 + 0.4 * len(rows) + 1.6 * len(restored)))
    upper, lower = figure.subplots(2, 1, height_ratios=[len(rows), 3 * len(restored)])
    for at, row in enumerate(rows):
        if row["caught_share"]:
            _interval(upper, row["caught_share"], at - 0.1, "#0b6e4f")
        _interval(upper, row["accused_share"], at + 0.1, "#b3261e")
    upper.set_yticks(range(len(rows)), [row["attack"] for row in rows])
    upper.invert_yaxis()
    upper.set_title(
        "share of batches quarantined: poisoned (green), honest (red)", loc="left", fontsize=9
    )
    names = []
    for row in restored:
        for name, gaps in row["differences"].items():
            for offset, (pair, colour) in zip((-0.2, 0.0, 0.2), COLOURS.items(), strict=True):
                _interval(lower, gaps[pair], len(names) + offset, colour)
            names.append(f"{row['model']}: {name.replace('_', ' ')}")
    lower.set_yticks(range(len(names)), names)
    lower.invert_yaxis()
    lower.axvline(0, color="#5f6368", linewidth=0.8)
    lower.set_title(
        "difference to clean labels: poisoned (red), removed (green), asked again (blue)",
        loc="left",
        fontsize=9,
    )
    for axis in (upper, lower):
        axis.grid(axis="x", color="#e8eaed")
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _interval(axis: Any, estimate: Mapping[str, float], at: float, colour: str) -> None:
    axis.hlines(at, estimate["low"], estimate["high"], colour)
    axis.plot([estimate["value"]], [at], "o", color=colour, markersize=4)
