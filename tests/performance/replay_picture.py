"""The replay's picture: recall on the family over labels, a panel a family, a line an arm."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from data_contracts.files import write_atomically

GOAL = 0.9
PLAIN = {"random": "#5f6368", "portfolio": "#c5221f"}


def draw(
    curves: Sequence[Mapping[str, Any]], families: Sequence[str], path: Path, most: int
) -> Path:
    """Write it as SVG, from 0 to `most` labels: means over seeds, bands of the portfolio and
    of random from the lowest seed to the highest."""
    arms = list(dict.fromkeys(curve["arm"] for curve in curves))
    figure = Figure(figsize=(11, 3.6 * -(-len(families) // 2) + 1.0))
    panels = np.ravel(figure.subplots(-(-len(families) // 2), 2, sharex=True, sharey=True))
    grid = np.linspace(0, most, 101)
    for panel, family in zip(panels, families, strict=False):
        for place, arm in enumerate(arms):
            lines = [_along(curve, grid) for curve in _of(curves, family, arm)]
            colour = PLAIN.get(arm, colormaps["tab20"](place % 20))
            mean = np.mean(lines, axis=0)
            panel.plot(grid, mean, color=colour, label=arm, linewidth=2.2 if arm in PLAIN else 1)
            if arm in PLAIN:
                low, high = np.min(lines, axis=0), np.max(lines, axis=0)
                panel.fill_between(grid, low, high, color=colour, alpha=0.12, linewidth=0)
        panel.axhline(GOAL, color="#202124", linestyle="--", linewidth=0.8)
        panel.set_title(family, loc="left", fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[-2:]:
        panel.set_xlabel("labels since the campaign began", fontsize=9)
    for panel in panels[::2]:
        panel.set_ylabel("recall on held-out texts", fontsize=9)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=5, fontsize=8, frameon=False, loc="lower center")
    figure.tight_layout(rect=(0, 0.02 + 0.035 * -(-len(names) // 5), 1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _of(curves: Sequence[Mapping[str, Any]], family: str, arm: str) -> list[Mapping[str, Any]]:
    return [curve for curve in curves if curve["family"] == family and curve["arm"] == arm]


def _along(curve: Mapping[str, Any], grid: np.ndarray) -> np.ndarray:
    """Recall at each number of labels; a run that has reached the goal stays where it ended."""
    return np.interp(grid, curve["labels"], curve["recall"])
