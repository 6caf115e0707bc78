"""A game day: seeded faults against the running local stack, and ten quiet weeks in simulation.

    make bench-game-day     (or: python -m tests.performance.bench_game_day [--part live|quiet]
                             [--fault NAME …])

Live: see `game_day_stack` for what runs, `game_day_faults` for what is broken, `game_day_play` for
what is measured. A monitoring interval of 40 s stands for the hour of production: every window,
hold and `for` of rules, routes, playbooks and settings is divided by 90, no threshold is changed
(`game_day_scale`). Quiet: see `game_day_quiet`; it is a simulation, on the product's own code.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.files import write_atomically
from tests.performance.game_day_days import poisoned_labels, slow_drift
from tests.performance.game_day_faults import Fault, faults
from tests.performance.game_day_models import material
from tests.performance.game_day_past import write_past
from tests.performance.game_day_picture import draw
from tests.performance.game_day_play import DETECTED_WITHIN, Played, play
from tests.performance.game_day_quiet import SEEDS, WEEKS, Quiet, quiet_weeks
from tests.performance.game_day_rules import QuietRules, quiet_rules
from tests.performance.game_day_stack import (
    FACTOR,
    INTERVAL_SECONDS,
    Stack,
    monitor_process,
    running_stack,
)
from tests.performance.game_day_traffic import Control
from tests.performance.provenance import commit

Act = Callable[[], Played]
SEED = 20_261_130
MOST_FALSE_PAGES = 1.0  # a simulated week
LEAST_FAULTS = 8
WARM_SECONDS, STEADY_INTERVALS = 12.0, 3
DAILY = {"poisoned label day": poisoned_labels, "slow drift": slow_drift}


def main() -> int:
    known = [*(fault.name for fault in faults()), *DAILY]
    parser = argparse.ArgumentParser(description="faults against the running stack")
    parser.add_argument("--part", choices=("live", "quiet"), help="default: both")
    parser.add_argument("--fault", action="append", choices=known, help="default: all")
    arguments = parser.parse_args()
    settings, began, load = load_settings(), time.monotonic(), os.getloadavg()[0]
    wants_quiet = arguments.part in (None, "quiet")
    quiet = _quiet(settings) if wants_quiet else []
    rules = quiet_rules() if wants_quiet else None
    live = _live(settings, arguments.fault or known) if arguments.part in (None, "live") else []
    report = {
        "name": "game-day", "commit": commit(), "seconds": round(time.monotonic() - began, 1),
        "scale": f"{INTERVAL_SECONDS:g} s of the wall stand for an hour; all windows divided by "
        f"{FACTOR:g}, no threshold changed",
        "machine": {"cores": os.cpu_count(), "load_before": round(load, 1)},
        "rows": [one.as_row() for one in (*live, *quiet, *([rules] if rules else []))],
        "goals": goals(live, quiet, rules),
    }  # fmt: skip
    _write(report, settings, live)
    return 0


def _quiet(settings: Settings) -> list[Quiet]:
    found = []
    with tempfile.TemporaryDirectory(prefix="game-day-quiet-") as folder:
        for seed in SEEDS:
            found.append(quiet_weeks(settings, Path(folder), seed))
            _say(f"quiet weeks, seed {seed}: {found[-1].pages} pages, {found[-1].alerts} alerts")
    return found


def _live(settings: Settings, chosen: Sequence[str]) -> list[Played]:
    ready = material(settings, _say)
    found: list[Played] = []
    with (
        tempfile.TemporaryDirectory(prefix="game-day-") as folder,
        running_stack(Path(folder), ready.models, ready.traffic, _say) as stack,
    ):
        stack.send(Control(steady=True))
        time.sleep(WARM_SECONDS + STEADY_INTERVALS * INTERVAL_SECONDS)
        level = write_past(stack.settings, datetime.now(UTC), INTERVAL_SECONDS, STEADY_INTERVALS)
        stack.send(Control())
        _say(f"an interval: {level.decisions:g} decisions, {level.positive_rate:.1%} acted upon")
        stack.supervisor.start(monitor_process())
        time.sleep(2 * INTERVAL_SECONDS)
        try:
            for name, act in _acts(stack, chosen):
                found.append(_played(name, act))
        except KeyboardInterrupt:
            _say("interrupted: what follows was not run")
    return found


def _acts(stack: Stack, chosen: Sequence[str]) -> Iterator[tuple[Fault | str, Act]]:
    """The chosen faults, each with what plays it."""
    for number, fault in enumerate(faults()):
        if fault.name in chosen:
            seeded = np.random.default_rng([SEED, number])
            yield fault, partial(play, stack, fault, seeded, _say)
    for name, daily in DAILY.items():
        if name in chosen:
            yield name, partial(daily, stack, np.random.default_rng(SEED), _say)


def _played(fault: Fault | str, act: Act) -> Played:
    """What it showed; a fault that could not be brought about is a row that says so."""
    try:
        return act()
    except Exception as error:  # the others are worth knowing
        named = fault if isinstance(fault, str) else fault.name
        reason = f"could not be played: {type(error).__name__}: {error}"
        _say(f"{named} {reason}")
        how, harmful, expects = ("", True, ("",))
        if not isinstance(fault, str):
            how, harmful, expects = fault.how, fault.is_harmful, fault.expects
        return Played(named, how, harmful, 0.0, reason=reason, expects=expects)


def goals(
    live: Sequence[Played], quiet: Sequence[Quiet], rules: QuietRules | None = None
) -> list[dict[str, Any]]:
    """Of the parts that ran; what was not run has no goal here."""
    harmful = [one for one in live if one.is_harmful]
    late = [one.fault for one in harmful if not one.detected_in_time]
    unhelped = [one.fault for one in harmful if not one.mitigated]
    found = []
    if harmful:
        found += [
            _goal("faults", f"at least {LEAST_FAULTS} faults were played", f">= {LEAST_FAULTS}",
                  len(live), met=len(live) >= LEAST_FAULTS),
            _goal("detected", f"harmful faults detected within {DETECTED_WITHIN:g} intervals",
                  len(harmful), len(harmful) - len(late), met=not late, missed=late),
            _goal("mitigated", "harmful faults mitigated without a person where the playbook has "
                  "a step for that", len(harmful), len(harmful) - len(unhelped),
                  met=not unhelped, missed=unhelped),
        ]  # fmt: skip
    for one in live:
        if not one.is_harmful:
            measured = {"pages": one.pages, "mitigations": one.actions}
            found.append(
                _goal(f"{one.fault}.raises_none", f"{one.fault}: pages and mitigations", 0,
                      measured, met=not any(measured.values()))
            )  # fmt: skip
    if quiet:
        weekly = sum(one.pages for one in quiet) / (WEEKS * len(quiet))
        found.append(
            _goal("quiet.false_pages", "false pages a simulated week (simulation)",
                  f"< {MOST_FALSE_PAGES:g}", weekly, met=weekly < MOST_FALSE_PAGES)
        )  # fmt: skip
    if rules is not None and rules.weeks:
        weekly = len(rules.pages) / rules.weeks
        found.append(
            _goal("quiet.rules", "pages of Prometheus' rules a simulated week (simulation)",
                  f"< {MOST_FALSE_PAGES:g}", weekly, met=weekly < MOST_FALSE_PAGES)
        )  # fmt: skip
    return found


def _goal(name: str, statement: str, target: Any, measured: Any, **more: Any) -> dict[str, Any]:
    return {"id": name, "statement": statement, "target": target, "measured": measured, **more}


def _write(report: Mapping[str, Any], settings: Settings, live: Sequence[Played]) -> None:
    path = settings.reports / "bench-game-day.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(as_text(report))
    if live:
        print(draw(live, path.with_suffix(".svg")))
    print(path)


def as_text(report: Mapping[str, Any]) -> str:
    """The table for people."""
    live, quiet = (
        [row for row in report["rows"] if row["part"] == part] for part in ("live", "quiet")
    )
    lines = [f"{'fault':<26}{'detected':<22}{'severity':<10}{'mitigated':<34}{'over':<8}pages"]
    lines += [_live_line(row) for row in live]
    lines += [
        f"quiet weeks (simulation), seed {row['seed']}: {row['alerts']} alerts, "
        f"{row['pages']} pages, incidents {row['incidents']}"
        for row in quiet
    ]
    lines += [
        f"quiet weeks of Prometheus' rules (simulation): {row['weeks']} weeks, "
        f"{len(row['pages'])} pages {row['note']}"
        for row in report["rows"]
        if row["part"] == "quiet rules"
    ]
    lines += ["", "goals"]
    lines += [
        f"  {'met' if goal['met'] else 'NOT MET':<8}{goal['statement']}: {goal['measured']} "
        f"({goal['target']}) {', '.join(goal.get('missed', ()))}"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _live_line(row: Mapping[str, Any]) -> str:
    told = "no" if row["detected_seconds"] is None else (
        f"{row['detected_seconds']:.0f} s, {row['detected_intervals']:.1f} int."
    )  # fmt: skip
    done = ", ".join(one["mitigation"] for one in row["mitigations"] if one["state"] == "done")
    over = "-" if row["recovered_seconds"] is None else f"{row['recovered_seconds']:.0f} s"
    cause = f"\n    cause: {row['cause'] or 'none'}" if row["detected_by"] else ""
    return (
        f"{row['fault']:<26}{told:<22}{row['severity']:<10}{done or '-':<34}{over:<8}"
        f"{row['pages']}{cause}"
    )


def _say(line: str) -> None:
    print(f"{datetime.now().astimezone():%H:%M:%S} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
