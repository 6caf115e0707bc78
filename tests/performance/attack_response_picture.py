"""The picture of bench-attack-response: recall on the campaign over time, and the loop's stages."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from data_contracts.files import write_atomically

RECALL, HAM, STAGE = "#0b6e4f", "#c5221f", "#5f6368"
SHOWN = {
    "detected": "detected", "sampled": "sampled", "labelled": "labelled", "trained": "trained",
    "gated": "gated", "approved": "approved", "canary": "canary", "done": "in full",
}  # fmt: skip


def draw(
    minutes: Sequence[Mapping[str, Any]], stages: Mapping[str, float], goal: float, path: Path
) -> Path:
    """Write the picture as SVG; `stages` are minutes after the campaign's first post."""
    figure = Figure(figsize=(9.0, 4.6))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    _shares(above, minutes, "campaign", RECALL, "campaign posts acted on (recall), 95 %")
    _shares(below, minutes, "ham", HAM, "ham acted on, 95 %")
    above.set_ylim(-0.02, 1.25)
    above.set_yticks([0, 0.25, 0.5, 0.75, 1])
    for place, (stage, name) in enumerate(SHOWN.items()):
        if stage in stages:
            for axis in (above, below):
                axis.axvline(stages[stage], color=STAGE, lw=0.7, ls=":")
            height = 1.04 + 0.075 * (place % 3)
            above.text(
                stages[stage] + 0.08, height, name, fontsize=7, color=STAGE,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    above.set_ylabel("share", fontsize=8)
    below.set_ylabel("share", fontsize=8)
    below.set_ylim(0, None)
    below.set_xlabel("minutes after the campaign's first post", fontsize=8)
    above.set_title(
        f"Live traffic of the local stack: the loop answers a new campaign (goal {goal:g} minutes)",
        fontsize=9, loc="left",
    )  # fmt: skip
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.legend(frameon=False, fontsize=8, loc="center left")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    write_atomically(path, buffer.getvalue())
    return path


def _shares(
    axis: Any, minutes: Sequence[Mapping[str, Any]], kind: str, colour: str, label: str
) -> None:
    known = [one for one in minutes if one[kind]["of"]]
    at = [one["minute"] + 0.5 for one in known]
    axis.plot(at, [one[kind]["share"] for one in known], color=colour, lw=1.5, marker="o", ms=3,
              label=label)  # fmt: skip
    axis.fill_between(
        at, [one[kind]["low"] for one in known], [one[kind]["high"] for one in known],
        color=colour, alpha=0.15, lw=0,
    )  # fmt: skip
