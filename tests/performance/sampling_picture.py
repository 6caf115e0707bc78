"""The learning curves of `bench_sampling` as one picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SHOWN = {
    "random": "#888888", "portfolio": "#d62728", "cluster_margin": "#1f77b4",
    "entropy": "#2ca02c", "representatives": "#9467bd", "k_centre": "#8c564b",
}  # fmt: skip
RIVAL = "#ff7f0e"


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """A panel a set: average precision, as a share of the full data's, over labels."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(curve["set"] for curve in report["curves"]))
    figure = Figure(figsize=(4 * len(names), 4), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        for curve in report["curves"]:
            if curve["set"] == name:
                _line(panel, curve)
        panel.axhline(0.99, color="black", linewidth=0.8, linestyle=":")
        panel.set(xscale="log", ylim=(0.85, 1.01), xlabel="labels", title=name)
    panels[0].set_ylabel("average precision / full data's")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _line(panel: Any, curve: Mapping[str, Any]) -> None:
    name = curve["strategy"]
    rival = name.startswith("small-text")
    style = {"color": RIVAL, "alpha": 0.6, "linewidth": 0.8} if rival else {"linewidth": 1.5}
    if not rival:
        style |= {"color": SHOWN[name]} if name in SHOWN else {"linewidth": 0.8, "color": "#bbbbdd"}
    label = "small-text's strategies" if name.endswith("BreakingTies") else name
    panel.plot(curve["labels"], curve["mean"], label=None if rival and label == name else label,
               **style)  # fmt: skip
