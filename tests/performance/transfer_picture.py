"""The picture of bench-transfer: AUC on what was never trained on, with intervals."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

COLOURS = {"auc": ("Weir", "#0b6e4f"), "tfidf_auc": ("TF-IDF + LR", "#a9adb3")}
BAR, LEAST = 0.36, 0.5  # AUC of guessing


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """Write the picture as SVG."""
    rows = report["rows"]
    figure = Figure(figsize=(8.0, 1.2 + 0.5 * len(rows)))
    axis = figure.subplots()
    for at, (key, (label, colour)) in enumerate(COLOURS.items()):
        places = [place + BAR * at for place in range(len(rows))]
        values = [row[key]["value"] for row in rows]
        below = [max(row[key]["value"] - row[key]["low"], 0.0) for row in rows]
        above = [max(row[key]["high"] - row[key]["value"], 0.0) for row in rows]
        axis.barh(places, values, BAR, color=colour, label=label)
        axis.errorbar(values, places, xerr=[below, above], fmt="none", ecolor="#202124", capsize=2)
    for place, row in enumerate(rows):
        if row["goal"] is not None:
            axis.vlines(row["goal"], place - BAR / 2, place + 1.5 * BAR, colors="#c5221f")
    axis.set_yticks(
        [place + BAR / 2 for place in range(len(rows))],
        [
            f"{row['trial']}: {row['test'].removeprefix('text_')} ({row['test_rows']})"
            for row in rows
        ],
        fontsize=8,
    )
    axis.invert_yaxis()
    axis.set_xlim(LEAST, 1.0)
    axis.set_title(
        "AUC on what was never trained on, 95 % intervals; red: the goal", loc="left", fontsize=9
    )
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(ncols=2, fontsize=8, frameon=False, loc="lower center")
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['trial']}: {row['test'].removeprefix('text_')} ({row['test_rows']})"
