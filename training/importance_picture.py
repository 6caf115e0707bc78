"""A picture of which hyperparameters mattered: a bar each, by stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def importance_picture(shares: Mapping[str, Mapping[str, float]]) -> Any:
    """A matplotlib figure; `shares[stage][parameter]` in [0, 1] sums to 1 a stage."""
    from matplotlib.figure import Figure

    bars = [
        (f"{stage}: {name}", share)
        for stage, parameters in shares.items()
        for name, share in sorted(parameters.items(), key=lambda pair: -pair[1])
    ]
    figure = Figure(figsize=(7, 0.6 + 0.28 * len(bars)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in bars], [share for _, share in bars], color="#2a6f97")
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("part in the differences between trials (fANOVA)")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
