"""The simulation's picture: share of the canaries stopped, against the canary's requests."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_contracts.files import write_atomically
from tests.performance.rollout_rows import EQUAL, MAXIMUM_FALSE_ALARMS, METHODS, REGRESSIONS
from tests.performance.rollout_simulation import BUDGET_REQUESTS

COLOURS = dict(zip(METHODS, ("#0b6e4f", "#c58b2a", "#5b6b8c", "#a9adb3"), strict=True))


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """Write the picture as SVG: a panel for each regression, and one for equal models."""
    names = [scenario.name for scenario in (*REGRESSIONS, EQUAL)]
    shown = [name for name in names if any(row["scenario"] == name for row in report["rows"])]
    picture = Figure(figsize=(12, 6.6))
    panels = np.atleast_1d(picture.subplots(2, 3, sharex=True, sharey=True)).ravel()
    for axis, name in zip(panels, shown, strict=False):
        _panel(axis, name, [row for row in report["rows"] if row["scenario"] == name])
    for axis in panels[len(shown) :]:
        axis.set_visible(False)
    panels[0].set_ylabel("share stopped", fontsize=9)
    picture.suptitle(
        "Simulated rollouts: share of the canaries stopped, by canary requests "
        "(last panel: equal models, each stop is a false alarm)",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    handles, labels = panels[0].get_legend_handles_labels()
    picture.legend(handles, labels, ncols=4, fontsize=8, frameon=False, loc="lower center")
    picture.tight_layout(rect=(0, 0.05, 1, 0.97))
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _panel(axis: Axes, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        at = np.array([0, *row["stopped_at"]])
        share = np.arange(len(at)) / row["stopped"]["of"]
        at, share = np.append(at, BUDGET_REQUESTS), np.append(share, share[-1])
        axis.step(at / 1000, share, where="post", color=COLOURS[row["method"]],
                  label=row["method"], lw=1.6)  # fmt: skip
    level = MAXIMUM_FALSE_ALARMS if name == EQUAL.name else 0.95
    axis.axhline(level, color="#b3261e", lw=0.8, ls=":")
    axis.set_title(name, loc="left", fontsize=9)
    axis.set_xlim(0, BUDGET_REQUESTS / 1000)
    axis.set_ylim(-0.02, 1.02)
    axis.set_xlabel("canary requests, thousands", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.grid(color="#e8eaed")
    axis.spines[["top", "right"]].set_visible(False)
