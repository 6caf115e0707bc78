"""Objectives as Prometheus rules: how much went wrong, window by window, and when it alerts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.alerts.slo.objectives import Burn, Objective, Objectives, seconds

Rule = Mapping[str, Any]
Group = Mapping[str, Any]
RECORDED_EVERY = "30s"
LONG_RECORDED_EVERY = (
    "2m"  # windows of a day and more are dear to ask; a series is gone after 5 min
)
LONG_SECONDS = 86_400
IN_WORDS = {
    "1h": "the last hour", "6h": "the last six hours", "1d": "the last day",
    "3d": "the last three days",
}  # fmt: skip
RUNBOOK = "infra/alerts/runbook.md"


def groups(given: Objectives) -> Iterator[Group]:
    """Recording rules first: Prometheus runs a group's rules in order, and groups apart."""
    records = [
        record
        for name, objective in given.objectives.items()
        for record in _records(name, objective, given)
    ]
    yield {
        "name": "weir-slo",
        "interval": RECORDED_EVERY,
        "rules": [rule for window, rule in records if window < LONG_SECONDS],
    }
    yield {
        "name": "weir-slo-days",
        "interval": LONG_RECORDED_EVERY,
        "rules": [rule for window, rule in records if window >= LONG_SECONDS],
    }
    yield {
        "name": "weir-objectives",
        "rules": [
            _alert(name, objective, burn, given)
            for name, objective in given.objectives.items()
            for burn in objective.burns
        ],
    }


def _records(name: str, objective: Objective, given: Objectives) -> Iterator[tuple[int, Rule]]:
    """With the seconds that each looks back."""
    burns = [given.burns[burn] for burn in objective.burns]
    if not objective.counts_requests:
        yield 0, {"record": _now(name), "expr": objective.stale or objective.share}
    windows = {window for burn in burns for window in (burn.long, burn.short)}
    for window in sorted(windows, key=seconds):
        measured = _measured(name, objective, window)
        yield seconds(window), {"record": _ratio(name, window), "expr": measured}
    if objective.counts_requests:
        for burn in burns:
            bad = _bad(objective, "increase", burn.long)
            yield seconds(burn.long), {"record": _increase(name, burn.long), "expr": bad}


def _measured(name: str, objective: Objective, window: str) -> str:
    if not objective.counts_requests:
        return f"avg_over_time({_now(name)}[{window}])"
    return f"({_bad(objective, 'rate', window)})\n/ sum(rate({objective.all}[{window}]))"


def _bad(objective: Objective, how: str, window: str) -> str:
    """Of no bad requests Prometheus has no series: 0, not unknown."""
    if objective.bad:
        return f"sum({how}({objective.bad}[{window}])) or vector(0)"
    everything = f"sum({how}({objective.all}[{window}]))"
    return f"{everything} - (sum({how}({objective.good}[{window}])) or vector(0))"


def _alert(name: str, objective: Objective, chosen: str, given: Objectives) -> Rule:
    burn = given.burns[chosen]
    return {
        "alert": objective.alert + chosen,
        "expr": _condition(name, objective, burn, given.least_bad),
        "for": burn.wait,
        "keep_firing_for": burn.short,  # at the boundary the short window goes to and fro
        "labels": {"severity": burn.severity, "objective": name},
        "annotations": {
            "summary": _summary(objective, burn),
            "action": objective.action,
            "runbook_url": f"{RUNBOOK}#{objective.runbook}",
            "dashboard_url": f"/d/{objective.dashboard}",
        },
    }


def _condition(name: str, objective: Objective, burn: Burn, least_bad: int) -> str:
    most = f"{burn.rate:g} * {objective.budget:g}"
    both = [f"{_ratio(name, window)} > {most}" for window in (burn.long, burn.short)]
    if objective.counts_requests:
        both.append(f"{_increase(name, burn.long)} >= {least_bad}")
    return "\nand ".join(both)


def _summary(objective: Objective, burn: Burn) -> str:
    said = objective.summary.format(window=IN_WORDS.get(burn.long, burn.long))
    budget = f"{objective.budget * 100:g} %"
    return f"{{{{ $value | humanizePercentage }}}} {said}; the budget is {budget}"


def _now(name: str) -> str:
    return f"weir:{name}:now"


def _ratio(name: str, window: str) -> str:
    return f"weir:{name}:ratio_rate{window}"


def _increase(name: str, window: str) -> str:
    return f"weir:{name}:increase{window}"
