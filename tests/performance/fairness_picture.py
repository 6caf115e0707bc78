"""The forest plot of `bench-fairness`: the share of ordinary speech blocked, by group."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically
from tests.performance.fairness_systems import OWN

COLOURS = {
    "Weir": "#0b6e4f",
    "Weir, tweets as ham": "#b26a00",
    "TF-IDF + LR": "#8a8f98",
}
TICKS = (0, 0.1, 0.5, 1, 5, 10)  # per cent
TITLES = {
    "probe": "set", "dialect": "dialect (Davidson)", "identity": "identity (HateCheck)",
    "functionality": "test (HateCheck)", "language": "language (HateCheck)",
}  # fmt: skip


def draw(groups: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """One row a group, one mark a system, at the systems' own thresholds; linear below 0.5 %."""
    shown = [one for one in groups if one["operating_point"] == OWN and one["system"] in COLOURS]
    names = list(dict.fromkeys((one["by"], one["group"], one["cases"]) for one in shown))
    figure = Figure(figsize=(8.5, 1.2 + 0.27 * len(names)))
    axis = figure.subplots()
    for order, (system, colour) in enumerate(COLOURS.items()):
        of_system = [one for one in shown if one["system"] == system]
        at = [
            names.index((o["by"], o["group"], o["cases"])) + 0.22 * (order - 1) for o in of_system
        ]
        rates = [one["false_positive_rate"] for one in of_system]
        axis.hlines(
            at, [100 * rate["low"] for rate in rates], [100 * rate["high"] for rate in rates],
            color=colour, lw=1.2,
        )  # fmt: skip
        axis.plot(
            [100 * rate["value"] for rate in rates], at, "s", color=colour, ms=3.5, label=system
        )
    axis.set_yticks(
        range(len(names)), [f"{TITLES[by]}: {group} ({cases})" for by, group, cases in names]
    )
    axis.tick_params(axis="y", labelsize=7)
    axis.set(
        ylim=(len(names) - 0.4, -0.6), xlabel="% of ordinary speech blocked, with 95 % interval"
    )
    axis.set_xscale("symlog", linthresh=0.5)
    axis.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axis.set_xlim(left=-0.03)
    axis.grid(axis="x", color="#e8eaed")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="lower right")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path
