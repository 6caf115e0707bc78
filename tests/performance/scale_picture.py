"""The benchmark's picture: time by stage and the highest memory of each run."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

from data_contracts.files import write_atomically


def draw(report: Mapping[str, Any], path: Path, memory_goal: float) -> Path:
    """Write the picture as SVG; memory in GB."""
    runs = [f"{row['engine']}\n{row['pool_rows'] / 1e6:g} M rows" for row in report["rows"]]
    stages = list(report["rows"][0]["stages"])
    figure = Figure(figsize=(9.5, 4.2))
    time, memory = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    left = [0.0] * len(runs)
    for place, stage in enumerate(stages):
        seconds = [row["stages"][stage] for row in report["rows"]]
        colour = colormaps["tab20"](place % 20)
        time.barh(runs, seconds, left=left, color=colour, label=stage)
        left = [before + more for before, more in zip(left, seconds, strict=True)]
    for run, total in zip(runs, left, strict=True):
        time.text(total, run, f" {total:.0f} s", va="center", fontsize=8)
    memory.barh(runs, [row["peak_gigabytes"] for row in report["rows"]], color="#5f6368")
    memory.axvline(memory_goal, color="#c5221f", linestyle="--", linewidth=1)
    time.set_title("seconds by stage, two cores", loc="left", fontsize=9)
    memory.set_title("peak resident memory, GB; dashed: the goal", loc="left", fontsize=9)
    for axis in (time, memory):
        axis.grid(axis="x", color="#e8eaed")
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    time.margins(x=0.12)
    time.invert_yaxis()
    handles, names = time.get_legend_handles_labels()
    figure.legend(handles, names, ncols=5, fontsize=8, frameon=False, loc="lower center")
    figure.tight_layout(rect=(0, 0.04 + 0.05 * -(-len(names) // 5), 1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path
