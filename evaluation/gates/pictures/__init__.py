"""A gate's report as pictures (SVG), drawn from the report alone; one file a picture.

A picture is a function from a report to a figure, or None where the report lacks its data, and
one line in `PICTURES`. Keep to `style.WIDTH_INCHES`: phones show it without zooming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from data_contracts.files import write_atomically
from data_contracts.reports import GateReport
from evaluation.attacks.cost_picture import attack_costs
from evaluation.gates.pictures.calibration import calibration
from evaluation.gates.pictures.curves import precision_recall, roc
from evaluation.gates.pictures.evasion import evasion
from evaluation.gates.pictures.forest import forest
from evaluation.gates.pictures.style import STYLE, svg

PICTURES: Mapping[str, Callable[[GateReport], Figure | None]] = {
    "precision_recall": precision_recall,
    "roc": roc,
    "calibration": calibration,
    "slices": forest,
    "evasion": evasion,
    "attack_costs": attack_costs,
}


def pictures(report: GateReport) -> Iterator[tuple[str, bytes]]:
    """Name and SVG of every picture that the report has figures for."""
    with mpl.rc_context(STYLE):
        for name, picture in PICTURES.items():
            figure = picture(report)
            if figure is not None:
                yield name, svg(figure)


def draw(report: GateReport, folder: Path) -> list[Path]:
    """Write the pictures, named `{gate}-{picture}.svg`."""
    drawn = []
    for name, content in pictures(report):
        path = folder / f"{report.gate}-{name}.svg"
        write_atomically(path, content)
        drawn.append(path)
    return drawn
