"""Rows, goals and table of the rollout simulation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.metrics import clopper_pearson
from tests.performance.rollout_simulation import (
    BUDGET_LABELS,
    BUDGET_REQUESTS,
    JUDGE,
    RIVALS,
    Outcome,
)
from tests.performance.rollout_streams import Scenario

MAXIMUM_FALSE_ALARMS = 0.05
MINIMUM_DETECTED = 0.95
EQUAL = Scenario("equal")
REGRESSIONS = (
    Scenario("errors +0.5 points", error_increase=0.005),
    Scenario("p99 +30 %, all requests slower", latency_factor=1.3),
    Scenario("p99 +30 %, the tail alone", tail_factor=1.3),
    Scenario("false positives +0.2 points", false_positive_increase=0.002),
    Scenario("recall -3 points in one language", recall_decrease=0.03),
)
RARE = 0.03
HARDER = (
    Scenario("equal, 3 % spam", prevalence=RARE),
    Scenario("false positives +0.2 points, 3 % spam", false_positive_increase=0.002,
             prevalence=RARE),
    Scenario("recall -3 points in one language, 3 % spam", recall_decrease=0.03,
             prevalence=RARE),
)  # fmt: skip
METHODS = (JUDGE, *RIVALS)


def rows_of(scenario: Scenario, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """A row for each method: how often it stops this canary, and after how much."""
    return [_row(scenario, method, outcomes) for method in METHODS]


def goals(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the judge is held to; its rivals and the harder prevalence are only shown."""
    judged = {row["scenario"]: row for row in rows if row["method"] == JUDGE}
    found = []
    if EQUAL.name in judged:
        alarms = judged[EQUAL.name]["stopped"]
        found.append(
            _goal("false_alarms", f"equal models stopped in a whole rollout, of {alarms['of']}",
                  f"at most {MAXIMUM_FALSE_ALARMS:.0%}", alarms,
                  alarms["value"] <= MAXIMUM_FALSE_ALARMS)
        )  # fmt: skip
    for scenario in REGRESSIONS:
        if scenario.name in judged:
            detected = judged[scenario.name]["stopped"]
            statement = (
                f"{scenario.name}: stopped within {BUDGET_REQUESTS} canary requests and "
                f"{BUDGET_LABELS} labels, of {detected['of']}"
            )
            found.append(
                _goal(f"detects.{scenario.name.replace(' ', '_')}", statement,
                      f"at least {MINIMUM_DETECTED:.0%}", detected,
                      detected["value"] >= MINIMUM_DETECTED)
            )  # fmt: skip
    return found


def table(report: Mapping[str, Any]) -> str:
    """For people."""
    lines = [
        f"{'scenario':<44}{'method':<37}{'stopped':<25}{'requests (median, p95)':<25}"
        f"{'labels (median, p95)':<23}{'all steps passed'}"
    ]
    lines += [
        f"{row['scenario']:<44}{row['method']:<37}{_share(row['stopped']):<25}"
        f"{_pair(row['requests']):<25}{_pair(row['labels']):<23}{_share(row['passed_all_steps'])}"
        for row in report["rows"]
    ]
    met = [goal for goal in report["goals"] if goal["met"]]
    lines += ["", f"goals: {len(met)} of {len(report['goals'])} met"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{_measured(goal['measured'])}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _row(scenario: Scenario, method: str, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    stopped = [one for one in outcomes if _stopped(scenario, method, one)]
    requests = [_requests(method, one) for one in stopped]
    row: dict[str, Any] = {
        "scenario": scenario.name,
        "prevalence": scenario.prevalence,
        "method": method,
        "stopped": _proportion(len(stopped), len(outcomes)),
        "requests": _quantiles(requests),
        "stopped_at": sorted(requests),
        "labels": None,
        "passed_all_steps": None,
    }
    if method == JUDGE:
        passed = [one for one in outcomes if one.state == "passed"]
        within = [one for one in passed if one.requests <= BUDGET_REQUESTS]
        row |= {
            "labels": _quantiles([one.labels for one in stopped]),
            "passed_all_steps": _proportion(len(passed), len(outcomes)),
            "passed_within_budget": _proportion(len(within), len(outcomes)),
            "requests_to_pass": _quantiles([one.requests for one in passed]),
            "labels_to_pass": _quantiles([one.labels for one in passed]),
            "still_waiting": sum(one.state == "waiting" for one in outcomes),
            "looks": int(sum(one.looks for one in outcomes)),
            "failed_in": dict(Counter(one.phase for one in stopped)),
            "failed_for": dict(Counter(str(one.metric) for one in stopped)),
        }
    return row


def _stopped(scenario: Scenario, method: str, one: Outcome) -> bool:
    """An equal model's alarm counts whenever it comes, also beyond the budget."""
    if method == JUDGE and scenario.is_equal:
        return one.state == "failed"
    return one.stopped_at[method] is not None


def _requests(method: str, one: Outcome) -> int:
    return one.requests if method == JUDGE else int(one.stopped_at[method] or 0)


def _proportion(count: int, total: int) -> dict[str, float]:
    found = clopper_pearson(count, total)
    return {"value": found.value, "low": found.low, "high": found.high, "of": total}


def _quantiles(values: Sequence[int]) -> dict[str, float] | None:
    if not values:
        return None
    median, p95 = np.quantile(values, [0.5, 0.95], method="higher")
    return {"median": int(median), "p95": int(p95)}


def _goal(
    name: str, statement: str, target: str, measured: Mapping[str, float], met: bool
) -> dict[str, Any]:
    return {"id": name, "statement": statement, "target": target, "measured": measured,
            "met": met}  # fmt: skip


def _measured(measured: object) -> str:
    return _share(measured) if isinstance(measured, Mapping) else str(measured)


def _share(share: Mapping[str, float] | None) -> str:
    if share is None:
        return ""
    return f"{share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}]"


def _pair(found: Mapping[str, float] | None) -> str:
    return "" if found is None else f"{found['median']:,} {found['p95']:,}"
