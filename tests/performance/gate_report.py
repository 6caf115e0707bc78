"""What `bench-gates` says: rows, goals and the table for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evaluation.metrics import clopper_pearson
from tests.performance.gate_defects import GateName

FEWEST_STOPPED, FEWEST_PASSED = 19 / 20, 9 / 10
HONEST, DEFECT, CONTROL = "honest", "defect", "control"
WIDEST = 110
Row = Mapping[str, Any]


def row_of(
    model: str, kind: str, expected: GateName | None, harm: str,
    verdicts: Mapping[str, str], reasons: Mapping[str, Sequence[str]], **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """One model's line; `stopped_by` names every gate that did not pass it."""
    stopped = [gate for gate, verdict in verdicts.items() if verdict != "pass"]
    return {
        "model": model, "kind": kind, "expected": expected, "harm": harm,
        "verdicts": dict(verdicts), "stopped_by": stopped,
        "reasons": {gate: list(reasons[gate]) for gate in stopped}, **more,
    }  # fmt: skip


def is_stopped_rightly(row: Row) -> bool:
    """Whether the gate that was declared stops this defect."""
    return row["expected"] in row["stopped_by"]


def is_equivalent(row: Row) -> bool:
    """Whether a defect passes every gate and no figure tells it from an honest retrain.

    Budd & Angluin 1982, "Two notions of correctness and their relation to testing": such a mutant
    cannot be killed by any test on this suite that honest models pass.
    """
    return row["kind"] == DEFECT and not row["stopped_by"] and not row["measurably_worse"]


def measurably_worse(row: Row, honest: Sequence[Row]) -> list[str]:
    """The judged figures whose 95 % interval lies beyond the worst value of an honest retrain."""
    worst = _worst(honest)
    return [
        f"{name}: {metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}], "
        f"honest {worst[name]:.3f} or better"
        for name, metric in _judged(row)
        if name in worst and _lies_beyond(metric, worst[name])
    ]


def _judged(row: Row) -> Iterator[tuple[str, Row]]:
    for gate, metrics in row["metrics"].items():
        for metric in metrics:
            if metric["verdict"] is not None and metric["low"] is not None:
                yield f"{gate} {metric['name']} ({metric['slice']})", metric


def _worst(rows: Sequence[Row]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        for name, metric in _judged(row):
            worse = min if metric["direction"] == "at_least" else max
            found[name] = worse(found.get(name, metric["value"]), metric["value"])
    return found


def _lies_beyond(metric: Row, value: float) -> bool:
    if metric["direction"] == "at_least":
        return bool(metric["high"] < value)
    return bool(metric["low"] > value)


def report_of(
    rows: Sequence[dict[str, Any]], gates: Sequence[str], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole report; `facts` (commit, suite, seconds) stand in it as they are."""
    defects = [row for row in rows if row["kind"] == DEFECT]
    honest = [row for row in rows if row["kind"] == HONEST]
    right = sum(map(is_stopped_rightly, defects))
    passed = sum(not row["stopped_by"] for row in honest)
    for row in defects:
        row["measurably_worse"] = measurably_worse(row, honest) if honest else []
    effective = len(defects) - (sum(map(is_equivalent, defects)) if honest else 0)
    return {
        "name": "gates",
        **facts,
        "gates": list(gates),
        "rows": list(rows),
        "stopped": {
            "of": len(defects), "effective": effective, "right": right,
            "by_any": sum(bool(row["stopped_by"]) for row in defects),
        },
        "honest": {"of": len(honest), "passed": passed},
        "goals": [
            _goal(
                "defects_stopped", "planted defects that do measurable harm, stopped by the gate "
                "declared", right, effective, FEWEST_STOPPED,
            ),
            _goal(
                "honest_pass", "honest retrains with other seeds and rows that pass every gate",
                passed, len(honest), FEWEST_PASSED,
            ),
        ],
    }  # fmt: skip


def as_text(report: Mapping[str, Any]) -> str:
    """The table for a terminal, and the goals."""
    lines = [f"{'model':<40}{'expected':<13}{'stopped by':<32}first reason"]
    for row in report["rows"]:
        by = ", ".join(row["stopped_by"]) or ("- (equivalent)" if is_equivalent(row) else "-")
        lines.append(
            f"{row['model']:<40}{row['expected'] or '':<13}{by:<32}{first_reason(row)[:WIDEST]}"
        )
    lines += ["", "goals"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{goal['count']} of {goal['of']}, {_shown(goal['measured'])}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def first_reason(row: Row) -> str:
    """Of the gate declared where it stopped the model, else of the first that did; for one that
    passed, the first figure that is measurably worse."""
    if not row["stopped_by"]:
        return next(iter(row.get("measurably_worse", ())), "")
    gate = row["expected"] if is_stopped_rightly(row) else row["stopped_by"][0]
    return str(next(iter(row["reasons"][gate]), ""))


def _goal(identity: str, statement: str, count: int, of: int, target: float) -> dict[str, Any]:
    share = clopper_pearson(count, of) if of else None
    return {
        "id": identity, "statement": statement, "target": f">= {target:.0%}", "count": count,
        "of": of, "met": bool(share and share.value >= target),
        "measured": {"value": share.value, "low": share.low, "high": share.high} if share else None,
    }  # fmt: skip


def _shown(estimate: Mapping[str, float] | None) -> str:
    if estimate is None:
        return "nothing measured"
    value, low, high = (f"{estimate[key]:.2f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
