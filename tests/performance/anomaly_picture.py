"""The picture of bench-anomalies: three series, their labelled windows, scores and alerts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from data_contracts.files import write_atomically
from evaluation.monitoring.anomaly.series import Floats
from tests.performance.anomaly_series import Labelled

VALUE, SCORE, WINDOW, ALERT = "#5f6368", "#0b6e4f", "#fde293", "#c5221f"
HIGHEST_SHOWN = 4.0  # times the threshold
DAY = 86_400.0


@dataclass(frozen=True)
class Shown:
    """One series with what a detector said of it; `alerts` are rows."""

    labelled: Labelled
    scores: Floats
    threshold: float
    alerts: Sequence[int]


def draw(shown: Sequence[Shown], detector: str, path: Path) -> Path:
    """Write the picture as SVG."""
    figure = Figure(figsize=(9.0, 0.8 + 2.4 * len(shown)))
    axes = figure.subplots(2 * len(shown), 1, squeeze=False, height_ratios=[2, 1] * len(shown))[
        :, 0
    ]
    for one, (above, below) in zip(shown, zip(axes[::2], axes[1::2], strict=True), strict=True):
        _draw_one(one, above, below)
    figure.suptitle(
        f"{detector} on three series that settled none of its parameters. Yellow: labelled windows;"
        "\nred: alerts; grey: NAB's probation, where no alert counts",
        x=0.01, ha="left", fontsize=9,
    )  # fmt: skip
    axes[-1].set_xlabel("days", fontsize=8)
    figure.tight_layout(rect=(0, 0, 1, 0.97))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _draw_one(one: Shown, above: Any, below: Any) -> None:
    series = one.labelled.series
    days = (series.times - series.times[0]) / DAY
    for axis in (above, below):
        axis.axvspan(0, days[one.labelled.first_judged], color="#f1f3f4", lw=0)
        for first, last in one.labelled.windows:
            axis.axvspan(days[first], days[last], color=WINDOW, lw=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlim(0, days[-1])
        axis.tick_params(labelsize=7)
    above.plot(days, series.values[:, 0], color=VALUE, lw=0.5, rasterized=True)
    above.plot(days[one.alerts], series.values[one.alerts, 0], "v", color=ALERT, ms=5)
    above.set_title(one.labelled.name, loc="left", fontsize=8)
    above.set_xticklabels([])
    shown = np.minimum(one.scores / one.threshold, HIGHEST_SHOWN)
    below.plot(days, shown, color=SCORE, lw=0.5, rasterized=True)
    below.axhline(1.0, color=ALERT, lw=0.6, ls="--")
    below.set_ylim(0, HIGHEST_SHOWN)
    below.yaxis.set_major_locator(MaxNLocator(2))
    below.set_ylabel("score /\nthreshold", fontsize=7)
