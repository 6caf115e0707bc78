"""What the pictures share: a width that a phone shows without zooming, colours, and bytes."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

WIDTH_INCHES = 4.4  # 9-point text is 10 pixels high where a phone shows it 360 pixels wide
INK, SOFT, GRID = "#202124", "#5f6368", "#e8eaed"
COLOURS = {"challenger": "#0b6e4f", "champion": "#8a8f98"}
VERDICTS = {"pass": "#0b6e4f", "fail": "#b3261e", "not_enough_evidence": "#b26a00", None: SOFT}
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "weir",  # the same report gives the same bytes
    "text.color": INK,
    "text.parse_math": False,  # a slice's name is data, not TeX
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}


def one_panel(height_inches: float) -> tuple[Figure, Any]:
    """A figure of the common width and its only axes."""
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    return figure, figure.subplots()


def svg(figure: Figure) -> bytes:
    """Transparent, so that it stands on a light page and on a dark one."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue()
