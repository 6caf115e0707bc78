"""Whether a bad model is seen early and an equal one left alone: whole rollouts, judged.

    make bench-rollout    (or: python -m tests.performance.bench_rollout --part simulation)

`simulation`: seeded rollouts on made streams under the real judge with the bounds of production,
which were fixed beforehand; the seeds that are reported (from FIRST_SEED) were used for nothing
else. Beside it fixed thresholds and Mann-Whitney on the same streams.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
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
PARTS = ("simulation",)


def main() -> int:
    """Run the parts asked for, print the table, write the report and its picture."""
    began = time.monotonic()
    given = _arguments()
    bounds = load_settings({"WEIR_ENV": "production"}).rollout
    rows = list(_simulated(bounds, given.share))
    report = {
        "name": "rollout",
        "commit": commit(),
        "simulated": True,
        "seconds": round(time.monotonic() - began, 1),
        "first_seed": FIRST_SEED,
        "bounds": bounds.model_dump(mode="json"),
        "rows": rows,
        "goals": goals(rows),
    }
    _write(load_settings(), report)
    return 0


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
    from tests.performance.rollout_picture import draw

    picture = draw(report, settings.reports / "bench-rollout.svg")
    print(table(report))
    print(f"\n{path}\n{picture}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--part", choices=PARTS, default=PARTS[0])
    parser.add_argument(
        "--share", type=float, default=1.0,
        help="of the rollouts, for a quick look (default: %(default)s)",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
