"""Drift of 100 million rows of 20 features: seconds, memory, Spark's counts, false alarms, power.

    make bench-drift        (or: python -m tests.performance.bench_drift [--rows N])

Made rows (generation is not measured), a Parquet file a day, under {WEIR_HOME}/cache/bench-drift,
deleted at the end. The measured run reads all of them in a process of its own on two cores: it
fixes bins on all days but the last, counts every day, and judges the last, in which five drifts are
planted: four that the model reads and one of a feature that it ignores. Spark counts the same days
with the same bins and the same expression. The rival reads frames: Evidently, at growing sizes, up
to the memory that the goal allows. False alarms and power are of simulated small days.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Drift, load_settings
from data_contracts.files import write_atomically
from pipelines.lake import PART
from tests.performance import drift_replications, drift_rows
from tests.performance.drift_picture import draw
from tests.performance.drift_runs import (
    CORES,
    count_on_spark,
    judge_days,
    load_frames,
    measured,
)
from tests.performance.provenance import commit

ROWS, DAYS, SEED = 100_000_000, 20, 20_261_130
FIRST_DAY = date(2026, 1, 1)
GIB, SECONDS = 1.0, 600.0
RIVAL_ROWS = (100_000, 300_000, 1_000_000, 3_000_000)  # a side
REPLICATIONS, POWER_REPLICATIONS = 1000, 100
PLANTED = {
    drift_rows.SHIFT: "shift", drift_rows.UNIT: "unit change", drift_rows.NULL: "null",
    drift_rows.NEW: "new category", drift_rows.HARMLESS: "harmless shift",
}  # fmt: skip
TOLD = {
    drift_rows.UNIT: "unit change: values are about ×1000", drift_rows.NULL: "feature gone null",
    drift_rows.NEW: "new category", drift_rows.SHIFT: "values moved up",
}  # fmt: skip


def main() -> int:
    arguments = _arguments()
    settings = load_settings()
    drift = settings.monitoring.drift
    folder = settings.cache / "bench-drift"
    try:
        files = _made(folder, arguments.rows // DAYS)
        report = _report(files, arguments.rows // DAYS, drift)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    path = settings.reports / "bench-drift.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(as_text(report))
    print(f"{path}\n{draw(report, path.with_suffix('.svg'), GIB)}")
    return 0


def _made(folder: Path, rows: int) -> list[Path]:
    """One file a day, the last one drifted."""
    shutil.rmtree(folder, ignore_errors=True)
    files = []
    for number in range(DAYS):
        rng = np.random.default_rng([SEED, number])
        day = drift_rows.Day(drift_rows.day_effects(rng), drifted=number == DAYS - 1)
        files.append(folder / f"day={FIRST_DAY + timedelta(days=number)}" / PART)
        drift_rows.write_day(files[-1], day, rows, rng)
        _say(f"made day {number + 1} of {DAYS}")
    return files


def _report(files: Sequence[Path], rows: int, configured: Drift) -> dict[str, Any]:
    """Of the generated days with all of them as the reference; of simulated days as configured."""
    drift = configured.model_copy(update={"reference_days": DAYS - 1})
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    load = os.getloadavg()[0]
    _say(f"{megabytes:.0f} MB made; DuckDB reads and judges them (load {load:.1f})")
    ours, cost = measured(judge_days, files, drift)
    runs = [_run("weir on duckdb", rows * DAYS, cost, load) | {"stages": ours["stages"]}]
    _say(f"{cost}; Spark counts the same days")
    load = os.getloadavg()[0]
    spark, cost = measured(count_on_spark, files, ours["bins"])
    runs.append(_run("the same counts on spark", rows * DAYS, cost, load))
    _say(f"{cost}; Evidently reads frames")
    rivals = _rivals(files, rows)
    _say("false alarms and power")
    features = [one | {"planted": PLANTED.get(one["feature"])} for one in ours["found"]]
    report: dict[str, Any] = {
        "name": "drift", "commit": commit(), "days": DAYS, "features_each_row": len(features),
        "megabytes": round(megabytes), "cores": CORES, "rows": [*runs, *rivals],
        "spark": _agreement(ours["counts"], spark), "features": features,
        "false_alarms": drift_replications.false_alarms(REPLICATIONS, configured, SEED),
        "power": drift_replications.power(POWER_REPLICATIONS, configured, SEED),
    }  # fmt: skip
    return report | {"goals": goals(report)}


def _run(name: str, rows: int, cost: Mapping[str, float], load: float) -> dict[str, Any]:
    return {"run": name, "rows": rows, **cost, "load_before": round(load, 1)}


def _rivals(files: Sequence[Path], rows: int) -> list[dict[str, Any]]:
    """Evidently at growing sizes; the first that exceeds the memory is the last."""
    found: list[dict[str, Any]] = []
    for side in RIVAL_ROWS:
        if side > rows or (found and found[-1]["peak_gib"] > GIB):
            break
        load = os.getloadavg()[0]
        distances, cost = measured(load_frames, files[-1], files[0], side)
        found.append(_run("evidently on frames", 2 * side, cost, load) | {"distances": distances})
    return found


def _agreement(ours: Mapping[str, Any], spark: Mapping[str, Any]) -> dict[str, Any]:
    """Bins in which the two engines have different counts, and rows that Spark saw."""
    unequal = sum(
        ours[day].get(key) != counts.get(key)
        for day, counts in spark.items()
        for key in {*ours[day], *counts}
    )
    return {
        "days": len(spark), "bins": sum(map(len, spark.values())), "unequal": unequal,
        "row_features": sum(count[0] for day in spark.values() for count in day.values()),
    }  # fmt: skip


def goals(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    run, agreed, features = report["rows"][0], report["spark"], report["features"]
    found = {one["feature"]: one for one in features if one["drifted"]}
    order = [one["feature"] for one in features]
    below = max(order.index(name) for name in drift_rows.HARMFUL)
    alarms = report["false_alarms"]
    named = [
        name for name, told in TOLD.items() if told in (found.get(name, {}).get("cause") or "")
    ]
    false = [name for name in found if name not in PLANTED]
    tickets = [name for name, one in found.items() if one["matters"]]
    return [
        _goal("memory", f"peak memory over {run['rows'] / 1e6:g} M rows, children included, GiB",
              f"< {GIB}", run["peak_gib"], run["peak_gib"] < GIB),
        _goal("seconds", "from the first byte read to the ranked list, 2 cores, s",
              f"< {SECONDS:g}", run["seconds"], run["seconds"] < SECONDS),
        _goal("spark", f"bins of {agreed['bins']} in which Spark counts otherwise, "
              f"{agreed['days']} of {report['days']} days", "0", agreed["unequal"],
              agreed["unequal"] == 0 and agreed["days"] == report["days"]),
        _goal("found", "planted drifts found", f"{len(PLANTED)}",
              len(found.keys() & PLANTED.keys()), found.keys() >= PLANTED.keys()),
        _goal("undrifted", "undrifted features that are flagged", "0", len(false), not false),
        _goal("ranked", "harmful drifts that rank above the harmless", f"{len(drift_rows.HARMFUL)}",
              sum(order.index(name) < order.index(drift_rows.HARMLESS)
                  for name in drift_rows.HARMFUL),
              below < order.index(drift_rows.HARMLESS)),
        _goal("tickets", "tickets are of the harmful drifts and of no other",
              ", ".join(sorted(drift_rows.HARMFUL)), ", ".join(sorted(tickets)),
              set(tickets) == set(drift_rows.HARMFUL)),
        _goal("named", "harmful drifts whose likely cause is named", f"{len(TOLD)}", len(named),
              len(named) == len(TOLD)),
        *(_goal(f"false_alarms.{name}", f"undrifted days of {alarms['features']} features with "
                f"{told}, of {alarms['replications']} (simulated)", f"<= {alarms['nominal']}",
                alarms["rates"][name]["value"], alarms["rates"][name]["value"] <= alarms["nominal"])
          for name, told in (("ours", "any alarm"), ("significant", "any significant, no floor"))),
    ]  # fmt: skip


def _goal(name: str, statement: str, target: str, measured_: Any, met: bool) -> dict[str, Any]:
    return {
        "id": name, "statement": statement, "target": target, "measured": measured_, "met": met,
    }  # fmt: skip


def as_text(report: Mapping[str, Any]) -> str:
    """The tables for people."""
    lines = [f"{'run':<28}{'M rows':>8}{'s':>8}{'CPU-s':>8}{'GiB':>7}{'load':>6}"]
    lines += [
        f"{row['run']:<28}{row['rows'] / 1e6:>8.1f}{row['seconds']:>8.0f}"
        f"{row['cpu_seconds']:>8.0f}{row['peak_gib']:>7.2f}"
        f"{row['load_before']:>6.1f}"
        for row in report["rows"]
    ]
    lines += ["", f"{'feature':<14}{'planted':<16}{'distance':>9}{'adj. p':>10}{'effect':>9}"
              f"{'at stake':>10}{'alert':>8}  likely cause"]  # fmt: skip
    lines += [
        f"{one['feature']:<14}{one['planted'] or '':<16}{one['jensen_shannon']:>9.3f}"
        f"{one['adjusted_p_value']:>10.1e}{100 * one['effect']['positive_rate']:>+9.2f}"
        f"{100 * one['effect']['at_stake']:>10.2f}{_alert(one):>8}  {one['cause'] or ''}"
        for one in report["features"]
    ]
    rates = report["false_alarms"]["rates"]
    lines += ["", "undrifted days with an alarm (simulated): " + ", ".join(
        f"{name} {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"
        for name, rate in rates.items()
    )]  # fmt: skip
    lines += ["power (simulated), by standard deviations shifted: " + ", ".join(
        f"{row['shift']}: {row['found']['value']:.2f}" for row in report["power"]
    ), "", "goals"]  # fmt: skip
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']}: {goal['measured']} "
        f"({goal['target']})"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _alert(one: Mapping[str, Any]) -> str:
    return ("ticket" if one["matters"] else "info") if one["drifted"] else ""


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="of all days together")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
