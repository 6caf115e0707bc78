"""The game day's picture: a lane a fault, from when it struck to when nobody felt it any more."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_contracts.files import write_atomically
from tests.performance.game_day_play import DETECTED_WITHIN, Played
from tests.performance.game_day_stack import INTERVAL_SECONDS

MARKS = {
    "detected_seconds": ("detected", "o", "#b3261e"),
    "mitigated_seconds": ("mitigated", "s", "#0b6e4f"),
    "mended_seconds": ("cause put right", "^", "#c58b2a"),
    "recovered_seconds": ("over", "D", "#29506d"),
}
LANE, PICTURE_WIDTH = 0.6, 10.5  # inches


def draw(played: Sequence[Played], path: Path) -> Path:
    """Write the picture as SVG; time in monitoring intervals since the fault struck."""
    picture = Figure(figsize=(PICTURE_WIDTH, 1.6 + LANE * len(played)))
    axis = picture.subplots()
    for lane, one in enumerate(played):
        _lane(axis, lane, one)
    axis.axvline(DETECTED_WITHIN, color="#b3261e", lw=0.8, ls=":")
    axis.set_yticks(range(len(played)), [one.fault for one in played], fontsize=9)
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    each = f"{INTERVAL_SECONDS:g} s each; a day for labels and drift"
    axis.set_xlabel(f"monitoring intervals since it struck ({each})", fontsize=9)
    axis.set_title(
        "Game day: faults against the running local stack; dotted: two intervals",
        loc="left", fontsize=10,
    )  # fmt: skip
    for label, marker, colour in MARKS.values():
        axis.plot([], [], marker, color=colour, label=label, ms=7)
    axis.legend(ncols=len(MARKS), fontsize=8, frameon=False, loc="upper center",
                bbox_to_anchor=(0.5, -0.06 - 0.5 / max(len(played), 1)))  # fmt: skip
    axis.grid(axis="x", color="#e8eaed")
    axis.spines[["top", "right", "left"]].set_visible(False)
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight")
    write_atomically(path, buffer.getvalue())
    return path


def _lane(axis: Axes, lane: int, one: Played) -> None:
    unit = INTERVAL_SECONDS
    times = {name: getattr(one, name) for name in MARKS}
    if one.interval == "day":  # only the day is known on that scale
        unit, times = 1.0, dict.fromkeys(MARKS) | {"detected_seconds": one.detected_days}
    known = [at / unit for at in times.values() if at is not None]
    axis.plot([0, max(known, default=0)], [lane, lane], color="#c4c8ce", lw=3, zorder=1)
    for name, (_, marker, colour) in MARKS.items():
        if times[name] is not None:
            axis.plot(times[name] / unit, lane, marker, color=colour, ms=7, zorder=2)
    if one.detected_seconds is None:
        words = "not detected"
        if not one.is_harmful and not one.pages and not one.actions:
            words = "no page and no mitigation, as it should be"
        axis.annotate(
            words, (0.05, lane), (0, 4), textcoords="offset points", fontsize=8, color="#4c535b"
        )
