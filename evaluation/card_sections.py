"""A gate's section of the model card: figures worst first, pictures, waivers, policy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from data_contracts.errors import BadInput
from data_contracts.reports import GateReport
from evaluation.gates.pictures import pictures
from evaluation.gates.policy import Policy
from training.gate_reports import Judgement, three_digits, worst_first

FIGURES_SHOWN = 3  # of a gate that passes
FIGURES_AT_MOST = 12  # of one that does not; the others are folded
WIDE_POINTS = 340.0  # wider pictures scroll inside their frame on a phone
CAPTIONS = {
    "precision_recall": "Precision and recall over all thresholds.",
    "roc": "Recall where false positives are few; the dot is the model's own threshold.",
    "calibration": "How often messages with such a score were spam. On the line: calibrated.",
    "slices": "Each slice with its 95 % interval. Tick: the bound. Grey: the champion.",
    "evasion": "Share of caught spam that escapes once disguised. Grey: the champion.",
    "attack_costs": "What an attacker must spend: share that evades by queries and by edits.",
}
# matplotlib's colours become the page's, so that pictures stand on a dark page too.
PAGE_COLOURS = {
    "#202124": "ink", "#5f6368": "soft", "#e8eaed": "line", "#0b6e4f": "good",
    "#8a8f98": "champion", "#b3261e": "bad", "#b26a00": "unsure",
}  # fmt: skip


def section(judgement: Judgement, policy: Policy) -> dict[str, Any]:
    """What the page says of one gate: its figures worst first, pictures, waivers and rules."""
    report = _report(judgement)
    rows = [_row(metric, report) for metric in worst_first(judgement.record["metrics"])]
    not_passed = [row for row in rows if row["verdict"] != "pass"]
    shown = not_passed[:FIGURES_AT_MOST] or rows[:FIGURES_SHOWN]
    told = {id(row) for row in shown}
    others = [_row(metric, report) for metric in judgement.record["metrics"]
              if metric.get("bound") is None]  # fmt: skip
    asked = getattr(policy, judgement.gate, None)
    rules = asked.model_dump(mode="json") if asked is not None else {}
    drawn = [(name, *inline(picture)) for name, picture in pictures(report)]
    return {
        "name": judgement.gate,
        "verdict": judgement.verdict,
        "rows": [*rows, *others],
        "shown": shown,
        "folded": [row for row in rows if id(row) not in told] + others,
        "notes": _notes(report),
        "waivers": judgement.waivers,
        "cases": report.details.get("cases"),
        "left_out": report.details.get("left_out_as_near_duplicates"),
        "suite": report.suite_version,
        "datasets": report.datasets,
        "digest": judgement.digest,
        "owner": rules.get("owner", "nobody named in the policy"),
        "rules": list(_rules(rules)),
        "pictures": [
            {"name": name, "caption": CAPTIONS.get(name, name), "svg": svg, "wide": wide}
            for name, svg, wide in drawn
        ],
    }


def _report(judgement: Judgement) -> GateReport:
    try:
        return GateReport.from_record(judgement.record)
    except (KeyError, TypeError) as error:
        raise BadInput(f"{judgement.path} is no gate report ({error}); run the gate") from None


def _row(metric: Mapping[str, Any], report: GateReport) -> dict[str, Any]:
    name, part = str(metric["name"]), str(metric.get("slice", "all"))
    before = next(
        (m for m in report.details.get("champion_metrics") or ()
         if (m["name"], m["slice"]) == (name, part)), None,
    )  # fmt: skip
    return {
        "name": name,
        "slice": part,
        "value": _number(metric["value"], metric.get("low")),
        "interval": interval(metric),
        "champion": _number(before["value"], before.get("low")) if before else None,
        "asked": _asked(metric),
        "n": metric["sample_size"],
        "verdict": metric.get("verdict"),
    }


def _number(value: float, low: float | None) -> str:
    return f"{value:g}" if low is None else three_digits(value)


def interval(metric: Mapping[str, Any]) -> str:
    """`0.880 to 0.930`, or nothing for a count."""
    if metric.get("low") is None or metric.get("high") is None:
        return ""
    return f"{three_digits(metric['low'])} to {three_digits(metric['high'])}"


def _asked(metric: Mapping[str, Any]) -> str:
    sign = {"at_least": "≥", "at_most": "≤"}.get(str(metric.get("direction")), "")
    return f"{sign} {metric['bound']:g}" if metric.get("bound") is not None else ""


def _notes(report: GateReport) -> list[str]:
    """Reasons beyond the figures, which the table shows: no champion, a suite that was left out."""
    return [reason for reason in report.reasons if " cases, asked " not in reason]


def _rules(section: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, Any]]:
    """Every rule of a gate's policy: where it stands, what it asks, and its reason."""
    for key, value in section.items():
        if not isinstance(value, Mapping):
            continue
        name = f"{prefix}{key}".replace("_", " ")
        if "reason" in value:
            asks = {k: v for k, v in value.items() if k != "reason" and not isinstance(v, Mapping)}
            yield {"name": name, "asks": asks, "reason": value["reason"]}
        yield from _rules(value, f"{name}, ")


def inline(picture: bytes) -> tuple[Markup, bool]:
    """A picture of ours as an element of the page, and whether it is too wide for a phone."""
    text = picture[picture.index(b"<svg") :].decode("utf-8")
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</defs>", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # ids are one name space in a page
    width = float(re.search(r'width="([\d.]+)pt"', text)[1])  # type: ignore[index]
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    for colour, name in PAGE_COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return Markup(text), width > WIDE_POINTS  # noqa: S704 - matplotlib escaped what it wrote
