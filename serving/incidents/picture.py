"""The series of an incident's alerts as pictures (SVG): values, what was expected, what we did."""

from __future__ import annotations

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from data_contracts.alerts import Alert
from pipelines.alert_inbox import Entry
from serving.incidents.decisions import IN_FORCE, Action
from serving.rollout.picture import STYLE

MOST_PICTURES = 6
FEWEST_POINTS = 2
VALUE, BAND, DONE = "#b3261e", "#0b6e4f", "#3c6fb4"


def pictures(seen: Sequence[Entry], actions: Sequence[Action]) -> dict[str, bytes]:
    """By file name, for alerts that were seen at least twice; the first ones of many."""
    series: dict[str, list[Alert]] = {}
    for entry in seen:
        if entry.alert is not None:
            series.setdefault(entry.fingerprint, []).append(entry.alert)
    long_enough = {one: alerts for one, alerts in series.items() if len(alerts) >= FEWEST_POINTS}
    return {
        f"alert-{one}.svg": _drawn(alerts, actions)
        for one, alerts in list(long_enough.items())[:MOST_PICTURES]
    }


def _drawn(alerts: Sequence[Alert], actions: Sequence[Action]) -> bytes:
    alerts = sorted(alerts, key=lambda one: one.at)
    start = alerts[0].at
    minutes = [(one.at - start).total_seconds() / 60 for one in alerts]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 2.6))
        axis = figure.subplots()
        bounded = [
            (minute, one.low, one.high)
            for minute, one in zip(minutes, alerts, strict=True)
            if one.low is not None and one.high is not None
        ]
        if bounded:
            at, low, high = zip(*bounded, strict=True)
            axis.fill_between(at, low, high, color=BAND, alpha=0.2, lw=0, label="expected")
        axis.plot(minutes, [one.value for one in alerts], "o-", color=VALUE, ms=3, lw=1,
                  label=alerts[0].name)  # fmt: skip
        for action in actions:
            if action.state in IN_FORCE:
                done = ((action.ended_at or action.at) - start).total_seconds() / 60
                axis.axvline(done, color=DONE, lw=1)
                axis.annotate(action.mitigation, (done, 1), xycoords=("data", "axes fraction"),
                              rotation=90, va="top", ha="right", fontsize=7)  # fmt: skip
        axis.set_xlabel(f"minutes since {start:%Y-%m-%d %H:%M} UTC")
        axis.legend(loc="best", fontsize=7)
        figure.tight_layout()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()
