"""The picture of `bench-gates`: which gate stops which model."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from data_contracts.files import write_atomically

COLOURS = {"pass": "#e8eaed", "fail": "#b3261e", "not_enough_evidence": "#e9a23b"}
WORDS = {"pass": "", "fail": "stopped", "not_enough_evidence": "no evidence"}


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """Models down, gates across, as SVG; a frame is round the gate that was declared."""
    rows, gates = report["rows"], report["gates"]
    figure = Figure(figsize=(4.4 + 1.3 * len(gates), 1.2 + 0.27 * len(rows)))
    axis = figure.subplots()
    for down, row in enumerate(rows):
        for across, gate in enumerate(gates):
            verdict = row["verdicts"][gate]
            _cell(axis, across, down, verdict)
            if row["expected"] == gate:
                _frame(axis, across, down)
    axis.set(xlim=(0, len(gates)), ylim=(len(rows), 0))
    names = [row["model"] for row in rows]
    axis.set_xticks([at + 0.5 for at in range(len(gates))], gates, fontsize=8)
    axis.set_yticks([at + 0.5 for at in range(len(rows))], names, fontsize=8)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    stopped, honest = report["stopped"], report["honest"]
    axis.set_xlabel(
        f"{stopped['right']} of {stopped['of']} defects stopped by the gate declared (framed), "
        f"{stopped['of'] - stopped['effective']} do no measurable harm; "
        f"{honest['passed']} of {honest['of']} honest retrains passed",
        fontsize=8,
    )
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _cell(axis: Any, across: int, down: int, verdict: str) -> None:
    colour = "white" if verdict == "fail" else "#202124"
    axis.add_patch(Rectangle((across, down), 1, 1, facecolor=COLOURS[verdict], edgecolor="white"))
    axis.text(
        across + 0.5, down + 0.5, WORDS[verdict], color=colour, ha="center", va="center", fontsize=7
    )


def _frame(axis: Any, across: int, down: int) -> None:
    corner = (across + 0.03, down + 0.06)
    axis.add_patch(Rectangle(corner, 0.94, 0.88, fill=False, edgecolor="#202124", linewidth=1.8))
