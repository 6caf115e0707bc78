"""The benchmark's picture: estimates with their band, realised values, flagged windows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

ESTIMATE, REALISED, FLAGGED, NAIVE = "#0b6e4f", "#202124", "#f6c7c3", "#c58b2a"
FIGURES = ("precision", "recall")


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """Write the picture of the first seed as SVG."""
    windows = [row for row in report["windows"] if row["seed"] == report["seeds"][0]]
    scenarios = list(dict.fromkeys(row["scenario"] for row in windows))
    picture = Figure(figsize=(2.4 * len(scenarios), 5.2))
    axes = picture.subplots(2, len(scenarios), sharex=True, sharey="row", squeeze=False)
    for column, scenario in enumerate(scenarios):
        rows = [row for row in windows if row["scenario"] == scenario]
        for line, figure in enumerate(FIGURES):
            _panel(axes[line][column], rows, figure, report["drift_from"])
            axes[line][0].set_ylabel(figure, fontsize=9)
        axes[0][column].set_title(scenario, loc="left", fontsize=9)
        axes[1][column].set_xlabel("window", fontsize=8)
    handles, names = axes[0][0].get_legend_handles_labels()
    picture.legend(handles, names, ncols=5, fontsize=8, frameon=False, loc="lower center")
    picture.suptitle(
        "Estimated before labels come, and realised; dotted: drift begins; red: flagged unreliable",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    picture.tight_layout(rect=(0, 0.06, 1, 1))
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _panel(axis: Any, rows: list[Mapping[str, Any]], figure: str, drift_from: int) -> None:
    at = [row["window"] for row in rows]
    said = [row["estimate"][figure] for row in rows]
    for row in rows:
        if row["flagged"]:
            axis.axvspan(row["window"] - 0.5, row["window"] + 0.5, color=FLAGGED, lw=0)
    axis.fill_between(
        at, [one["low"] for one in said], [one["high"] for one in said],
        color=ESTIMATE, alpha=0.18, lw=0, label="95 % interval",
    )  # fmt: skip
    axis.plot(at, [one["value"] for one in said], color=ESTIMATE, lw=1.5, label="estimate")
    naive = [row["last_audited"][figure] for row in rows]
    axis.plot(at, naive, color=NAIVE, lw=1, ls="--", label="last audited value")
    axis.plot(at, [row["realised"][figure] for row in rows], "o", color=REALISED, ms=3.5,
              label="realised")  # fmt: skip
    axis.axvline(drift_from - 0.5, color="#80868b", ls=":", lw=1)
    axis.tick_params(labelsize=8)
    axis.grid(axis="y", color="#e8eaed")
    axis.spines[["top", "right"]].set_visible(False)
