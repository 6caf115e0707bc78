"""Whether the audit's intervals hold the truth, although the filter blocks and labels are late.

    make bench-audit-estimates    (or: python -m tests.performance.bench_audit_estimates)

The goals are judged on SIMULATIONS seeded runs of each scenario. Such a coverage is itself known
to about 3 points only, so further runs follow (none of them counts for a goal) and show what the
coverage really is. Beside it stand two estimates that one might make instead, with their bias.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
from evaluation.metrics import Estimate, clopper_pearson
from tests.performance.audit_simulation import (
    FIGURES,
    METHODS,
    SCENARIOS,
    Estimates,
    Scenario,
    simulate,
    truth,
)
from tests.performance.provenance import commit

SEED = 20260105
SIMULATIONS = 200
FURTHER = 1800
JUDGED = ("precision", "recall", "false_positive_rate")
LOWEST, HIGHEST = 0.92, 0.98
WEIGHTED = "weighted audit"


@dataclass(frozen=True)
class Run:
    """One simulation: the truth, and what each method said."""

    truth: Mapping[str, float]
    said: Mapping[str, Estimates]


def main() -> int:
    """Simulate, print the table, write the report and its picture."""
    began = time.monotonic()
    given = _arguments()
    rows = [row for scenario in SCENARIOS for row in rows_of(scenario, given.further)]
    report = {
        "name": "audit-estimates",
        "commit": commit(),
        "seconds": round(time.monotonic() - began, 1),
        "seed": SEED,
        "scenarios": [asdict(scenario) for scenario in SCENARIOS],
        "rows": rows,
        "goals": goals(rows),
    }
    _write(load_settings(), report)
    return 0


def rows_of(scenario: Scenario, further: int) -> list[dict[str, Any]]:
    """A row for each method and figure; `further` runs beyond those that count."""
    print(f"simulating: {scenario.name}", file=sys.stderr, flush=True)
    runs = [run(scenario, number) for number in range(SIMULATIONS)]
    beyond = [run(scenario, SIMULATIONS + number, [WEIGHTED]) for number in range(further)]
    return [
        {"scenario": scenario.name, "method": method, "figure": figure}
        | _row(runs, method, figure)
        | {"further": _coverage(beyond, method, figure) if method == WEIGHTED else None}
        for method in METHODS
        for figure in FIGURES
    ]


def run(scenario: Scenario, number: int, methods: Sequence[str] = tuple(METHODS)) -> Run:
    """The simulation of that number: the same in every bench."""
    rng = np.random.default_rng([SEED, SCENARIOS.index(scenario), number])
    days = simulate(scenario, rng)
    return Run(truth(days), {name: METHODS[name](scenario, days) for name in methods})


def goals(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One for each scenario and judged figure."""
    return [
        {
            "id": f"{row['scenario'].replace(' ', '_')}.{row['figure']}",
            "statement": f"{row['scenario']}: 95 % intervals of {row['figure'].replace('_', ' ')} "
            f"cover the truth in {SIMULATIONS} simulations",
            "target": f"{LOWEST:.0%} to {HIGHEST:.0%}",
            "measured": row["coverage"],
            "met": LOWEST <= row["coverage"]["value"] <= HIGHEST,
        }
        for row in rows
        if row["method"] == WEIGHTED and row["figure"] in JUDGED
    ]


def _row(runs: Sequence[Run], method: str, figure: str) -> dict[str, Any]:
    found = _estimates(runs, method, figure)
    errors = [estimate.value - true for estimate, true in found]
    return {
        "coverage": _coverage(runs, method, figure),
        "without_estimate": len(runs) - len(found),
        "truth": float(np.mean([one.truth[figure] for one in runs])),
        "bias": float(np.mean(errors)),
        "root_mean_square_error": float(np.sqrt(np.mean(np.square(errors)))),
        "mean_width": float(np.mean([estimate.high - estimate.low for estimate, _ in found])),
    }


def _coverage(runs: Sequence[Run], method: str, figure: str) -> dict[str, float] | None:
    """With its own exact interval; a run without an estimate covers nothing."""
    if not runs:
        return None
    found = _estimates(runs, method, figure)
    covered = sum(estimate.low <= true <= estimate.high for estimate, true in found)
    measured = clopper_pearson(covered, len(runs))
    return {"value": measured.value, "low": measured.low, "high": measured.high, "of": len(runs)}


def _estimates(runs: Sequence[Run], method: str, figure: str) -> list[tuple[Estimate, float]]:
    said = ((one.said[method][figure], one.truth[figure]) for one in runs)
    return [(estimate, true) for estimate, true in said if estimate is not None]


def _write(settings: Settings, report: Mapping[str, Any]) -> None:
    path = settings.reports / "bench-audit-estimates.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    from tests.performance.audit_picture import draw

    picture = draw(report, settings.reports / "bench-audit-estimates.svg")
    print(_table(report))
    print(f"\n{path}\n{picture}")


def _table(report: Mapping[str, Any]) -> str:
    lines = [
        f"{'scenario':<32}{'figure':<21}{'method':<26}{'truth':>8}{'bias':>9}{'width':>8}  "
        f"{'coverage of ' + str(SIMULATIONS):<24}of further runs"
    ]
    lines += [
        f"{row['scenario']:<32}{row['figure']:<21}{row['method']:<26}{row['truth']:>8.4f}"
        f"{row['bias']:>+9.4f}{row['mean_width']:>8.4f}  {_shown(row['coverage']):<24}"
        f"{_shown(row['further'])}"
        for row in _by_scenario_and_figure(report["rows"])
    ]
    met = [goal for goal in report["goals"] if goal["met"]]
    lines += ["", f"goals: {len(met)} of {len(report['goals'])} met"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']} ({goal['target']}): "
        f"{_shown(goal['measured'])}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _by_scenario_and_figure(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    scenarios = [scenario.name for scenario in SCENARIOS]
    return sorted(
        rows, key=lambda row: (scenarios.index(row["scenario"]), FIGURES.index(row["figure"]))
    )


def _shown(share: Mapping[str, float] | None) -> str:
    if share is None:
        return ""
    return f"{share['value']:.1%} [{share['low']:.1%}, {share['high']:.1%}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--further", type=int, default=FURTHER,
        help="runs of each scenario that count for no goal (default: %(default)s)",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
