"""Whether a bad model is seen early and an equal one left alone: whole rollouts, judged.

    make bench-rollout    (or: python -m tests.performance.bench_rollout [--part NAME])

`simulation`: seeded rollouts on made streams under the real judge with the bounds of production,
which were fixed beforehand, on other seeds: nothing was chosen by those that are reported (from
FIRST_SEED). Beside it fixed thresholds and Mann-Whitney on the same streams.

`live`: rollouts through a real Envoy under load, with a fault in each (`rollout_live`, and with a
real MLflow `rollout_live_mlflow`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from data_contracts.config import Rollout, Settings, load_settings
from data_contracts.files import write_atomically
from tests.performance.provenance import commit
from tests.performance.rollout_rows import EQUAL, HARDER, REGRESSIONS, goals, rows_of, table
from tests.performance.rollout_simulation import roll_out
from tests.performance.rollout_streams import Scenario

FIRST_SEED = 10_000
EQUAL_ROLLOUTS, BAD_ROLLOUTS, HARDER_ROLLOUTS = 600, 100, 20
SIMULATION, LIVE = "simulation", "live"


def main() -> int:
    """Run the parts asked for, print the tables, write the report and its picture."""
    began = time.monotonic()
    given = _arguments()
    bounds = load_settings({"WEIR_ENV": "production"}).rollout
    report: dict[str, Any] = {"name": "rollout", "commit": commit(), "rows": [], "goals": []}
    if given.part in (None, LIVE):
        report |= _live()
    if given.part in (None, SIMULATION):
        rows = list(_simulated(bounds, given.share))
        report["rows"] = rows
        report["goals"] = [*report["goals"], *goals(rows)]
        report |= {"simulated": True, "first_seed": FIRST_SEED,
                   "bounds": bounds.model_dump(mode="json")}  # fmt: skip
    _write(load_settings(), report | {"seconds": round(time.monotonic() - began, 1)})
    return 0


def _live() -> dict[str, Any]:
    from tests.performance import rollout_live, rollout_live_mlflow, rollout_live_rows
    from tests.postgresql import cluster

    outcomes = []
    for part in (rollout_live, rollout_live_mlflow):
        with cluster() as database, TemporaryDirectory() as home:
            outcomes += part.play(Path(home), database, _progress)
    print(rollout_live_rows.table(outcomes))
    return {
        "live": [one.as_row() for one in outcomes],
        "goals": rollout_live_rows.goals(outcomes),
    }


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _simulated(bounds: Rollout, share: float) -> Iterator[dict[str, Any]]:
    counted = {
        **dict.fromkeys(REGRESSIONS, BAD_ROLLOUTS),
        EQUAL: EQUAL_ROLLOUTS,
        **dict.fromkeys(HARDER, HARDER_ROLLOUTS),
    }
    for scenario, rollouts in counted.items():
        yield from _rows(scenario, max(round(rollouts * share), 1), bounds)


def _rows(scenario: Scenario, rollouts: int, bounds: Rollout) -> list[dict[str, Any]]:
    print(f"simulating {rollouts} rollouts: {scenario.name}", file=sys.stderr, flush=True)
    seeds = range(FIRST_SEED, FIRST_SEED + rollouts)
    rows = rows_of(scenario, [roll_out(scenario, bounds, seed) for seed in seeds])
    print(f"  stopped: {rows[0]['stopped']}", file=sys.stderr, flush=True)
    return rows


def _write(settings: Settings, report: Mapping[str, Any]) -> None:
    path = settings.reports / "bench-rollout.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(table(report))
    print(f"\n{path}")
    if report["rows"]:
        from tests.performance.rollout_picture import draw

        print(draw(report, settings.reports / "bench-rollout.svg"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--part", choices=(SIMULATION, LIVE), help="default: both")
    parser.add_argument(
        "--share", type=float, default=1.0,
        help="of the rollouts, for a quick look (default: %(default)s)",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
