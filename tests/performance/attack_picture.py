"""The benchmark's picture: which share evades for how many queries and for how many edits."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

COLOURS = ("#5f6368", "#c58b2a", "#3b6ea8", "#0b6e4f")
TICKS = [1, 3, 10, 30, 100]


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """A panel row for each `panel` of the rows; a line for each system, its interval shaded."""
    panels = list(dict.fromkeys(row["panel"] for row in rows))
    figure = Figure(figsize=(9.5, 0.4 + 2.3 * len(panels)))
    axes = figure.subplots(len(panels), 2, squeeze=False)
    for panel, pair in zip(panels, axes, strict=True):
        own = [row for row in rows if row["panel"] == panel]
        for row, colour in zip(own, COLOURS, strict=False):
            for axis, cost in zip(pair, ("queries", "edits"), strict=True):
                if cost in row["curves"]:
                    label = f"{row['system']} (n={row['curves']['caught']})"
                    _line(axis, row["curves"][cost], colour, label)
        pair[0].set_title(panel, loc="left", fontsize=9)
        pair[1].legend(fontsize=7, frameon=False, loc="upper left")
        pair[1].set_xscale("log")
        pair[1].set_xticks(TICKS, [str(tick) for tick in TICKS])
        pair[1].minorticks_off()
        for axis, cost in zip(pair, ("queries", "edits"), strict=True):
            axis.set(ylim=(0, 1.02), xlabel=f"{cost} a message")
            axis.grid(axis="y", color="#e8eaed")
            axis.spines[["top", "right"]].set_visible(False)
    for pair in axes:
        pair[0].set_ylabel("share that evades")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _line(axis: Any, points: Mapping[str, Any], colour: str, label: str) -> None:
    axis.plot(points["at"], points["rate"], drawstyle="steps-post", color=colour, label=label)
    axis.fill_between(
        points["at"], points["low"], points["high"], step="post", color=colour, alpha=0.12, lw=0
    )
