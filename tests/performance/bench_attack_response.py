"""A new campaign joins live traffic: how long until the loop, unattended, has answered it in full?

    make bench-attack-response       (or: python -m tests.performance.bench_attack_response)

The local stack runs in a home and on ports of its own. A champion comes from 3,200 replayed posts
of SMS in English and Turkish and of YouTube; its making is no part of the time. Then ordinary posts
of the later days are sent at a steady rate, each with an id of its own, and nobody lands them: they
reach the lake by their decision records alone. Twelve minutes later real spam of a
corpus that the champion never saw joins them (Chinese, from Telegram: one text and those nearest to
it), every post written a little otherwise and from an account of its own.

Nobody touches anything from then on. The monitor runs every two minutes in Airflow over as long a
window, and raises what it finds; incident response, with the shipped playbooks, asks Airflow for a
sample; the demo oracle answers from the truth; labels start the training; gates judge; the demo
reviewer approves a challenger whose gates passed; the receiver starts the rollout, whose steps are
those of infra/config/local.yaml. What else differs from `make run` stands under `tried_with`.

Recall by minute is the share of campaign posts that the gateway's live verdicts acted on. What the
release is worth is measured on texts of the campaign that nobody sent before it was in full, none a
near-duplicate of a labelled one, by the champion before and by live traffic afterwards, and on ham
that was held back. Intervals are Clopper-Pearson, 95 %, a text counted once.

Beside it: false alarms of the detection on real ham in order of time, without a stack.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.events import parse_event
from data_contracts.files import write_atomically
from evaluation.metrics import clopper_pearson
from infra.local.commands import environment
from pipelines import lake
from pipelines.near_duplicates import group_near_duplicates
from pipelines.scoring import GatewayScorer
from tests.performance.attack_response_client import Seen, seen
from tests.performance.attack_response_picture import draw
from tests.performance.attack_response_posts import (
    FAMILY_SEED_EVENT,
    FAMILY_SET,
    Planned,
    Texts,
    each_once,
    spread,
    stream,
    texts_of,
    write_plan,
    write_truth,
)
from tests.performance.attack_response_quiet import quiet_windows
from tests.performance.attack_response_stack import (
    CHAMPION_WITH,
    TRIED_WITH,
    Running,
    running_stack,
)
from tests.performance.attack_response_stages import STAGES, Loop
from tests.performance.provenance import commit

NAME = "attack-response"
SEED = 8
RATE = 12.0  # posts a second
QUIET_SECONDS = 720.0  # before the campaign: what is usual
GOAL_MINUTES = 30.0
LONGEST_MINUTES = 50.0  # then it is given up, and what was not reached is said
SHARES = {"ham": 0.84, "spam": 0.10, "campaign": 0.06}
LOOK_SECONDS = 1.0
AFTER_SECONDS = 60.0  # of live traffic once the release is in full
GRACE_SECONDS = 30.0
NEEDED = timedelta(hours=1.5)  # of the UTC day, whose truth is written beforehand


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quiet-only", action="store_true", help="the false alarms alone")
    arguments = parser.parse_args()
    settings = load_settings()
    report: dict[str, Any] = {"name": NAME, "commit": commit(), "rows": [], "goals": []}
    if not arguments.quiet_only:
        now = datetime.now(UTC)
        if (now + NEEDED).date() != now.date():
            print("the UTC day ends within the time this takes; begin after midnight")
            return 2
        home = settings.home / NAME / now.strftime("%Y%m%dT%H%M%SZ")
        with running_stack(home) as running:
            _say(f"version {running.champion} is champion; its making is no part of the time")
            report |= _tried(running, home)
    report["quiet"] = quiet_windows(settings)
    report["goals"] = goals(report)
    path = settings.reports / f"bench-{NAME}.json"
    write_atomically(path, orjson.dumps(report, option=orjson.OPT_INDENT_2))
    print(as_text(report))
    if report["rows"]:
        stages = {row["stage"]: row["minutes"] for row in report["rows"] if row["minutes"]}
        print(draw(report["by_minute"], stages, GOAL_MINUTES, path.with_suffix(".svg")))
    print(path)
    return 0


def _tried(running: Running, home: Path) -> dict[str, Any]:
    settings, rng = running.settings, np.random.default_rng(SEED)
    texts = texts_of(settings, running.late, rng)
    seconds = QUIET_SECONDS + LONGEST_MINUTES * 60 + AFTER_SECONDS
    live = stream(texts, seconds, RATE, SHARES, QUIET_SECONDS, "live", rng)
    held_out = each_once(texts, "held_out", "after", rng)
    varied = each_once(texts, "held_out", "after-varied", rng, disguise=True)
    fresh = each_once(texts, "fresh_ham", "after", rng)
    today = datetime.now(UTC).date().isoformat()
    write_truth([*live, *held_out, *varied, *fresh], today, home)
    before = {"held_out": _scored(settings, held_out), "fresh_ham": _scored(settings, fresh)}
    began = datetime.now(UTC) + timedelta(seconds=QUIET_SECONDS)
    loop = Loop(settings, running.turn.airflow, began, running.champion)
    out = home / "answers.jsonl"
    with _Clients(settings, write_plan(live, home / "plan.jsonl"), running.url, out):
        _follow(loop)
        time.sleep(AFTER_SECONDS if loop.is_over else 0)
    after = spread([*held_out, *varied, *fresh], RATE, rng)
    with _Clients(settings, write_plan(after, home / "after.jsonl"), running.url, out) as clients:
        clients.wait()
    return _report(loop, texts, seen(out), before, settings)


def _follow(loop: Loop) -> None:
    """Until the release is in full or the time is up; the demo reviewer is part of it."""
    until = loop.began + timedelta(minutes=LONGEST_MINUTES)
    while not loop.is_over and datetime.now(UTC) < until:
        for stage in loop.look():
            _say(f"{_minutes(loop, stage):6.1f} min  {stage}")
        loop.review()
        time.sleep(LOOK_SECONDS)


class _Clients:
    """The clients as a process of their own, ended with the block."""

    def __init__(self, settings: Settings, plan: Path, url: str, out: Path) -> None:
        command = [
            sys.executable, "-m", "tests.performance.attack_response_client",
            f"--plan={plan}", f"--url={url}", f"--out={out}",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, cwd=PROJECT, env=environment(settings))

    def __enter__(self) -> _Clients:
        return self

    def wait(self) -> None:
        self._process.wait()

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(GRACE_SECONDS)


def _scored(settings: Settings, planned: Sequence[Planned]) -> list[bool]:
    """Whether the model in traffic would act on each, in the bulk class: it leaves no decision."""
    events = [parse_event(one.event) for one in planned]
    with GatewayScorer(settings.serving) as scorer:
        return [verdict.action != "allow" for verdict in scorer.score(events)]


def _report(
    loop: Loop,
    texts: Texts,
    answers: Sequence[Seen],
    before: Mapping[str, Sequence[bool]],
    settings: Settings,
) -> dict[str, Any]:
    began = loop.began.timestamp()
    known = _near_labelled([text for text, _ in texts["held_out"]], settings)
    last = [one for one in answers if one.event_id.startswith("after")]
    by_kind = {
        kind: [one for one in last if one.kind == kind and not one.event_id.startswith("after-v")]
        for kind in ("held_out", "fresh_ham")
    }
    varied = [one for one in last if one.event_id.startswith("after-varied")]
    released = {
        "held_out": _share([one.acted for one in by_kind["held_out"] if one.group not in known]),
        "held_out_varied": _share([one.acted for one in varied if one.group not in known]),
        "fresh_ham": _share([one.acted for one in by_kind["fresh_ham"]]),
    }
    live = [one for one in answers if one.event_id.startswith("live-")]
    return {
        "rows": [{"stage": stage, "minutes": _minutes(loop, stage)} for stage in STAGES],
        "tried_with": dict(TRIED_WITH), "champion_with": dict(CHAMPION_WITH),
        "traffic": {
            "posts_a_second": RATE, "shares": SHARES, "quiet_seconds": QUIET_SECONDS,
            "family": {"dataset": FAMILY_SET, "seed_event": FAMILY_SEED_EVENT},
            "texts_sent": len(texts["campaign"]), "texts_held_out": len(texts["held_out"]),
            "requests": len(answers), "failed": sum(not one.answered for one in answers),
            "versions": sorted({one.version for one in answers if one.version}),
        },
        "by_minute": minutes_of(live, began),
        "held_out_near_labelled": len(known),
        "before": {
            "held_out": _share(
                [acted for at, acted in enumerate(before["held_out"]) if at not in known]
            ),
            "fresh_ham": _share(before["fresh_ham"]),
        },
        "after": released if loop.is_over else None,
        "labels": _labels(settings),
        "results": loop.results, "problems": loop.problems,
        "alerts": [
            one | {"minutes": _since(loop, one["at"]), "at": one["at"].isoformat()}
            for one in loop.alerts()
        ],
        "actions": [
            one | {"at": one["at"].isoformat(), "ended_at": str(one["ended_at"])}
            for one in loop.actions()
        ],
    }  # fmt: skip


def _near_labelled(held_out: Sequence[str], settings: Settings) -> set[int]:
    """Which of the held-out texts are near-duplicates of a labelled one."""
    labelled = [row.event.text for row in lake.labelled_events(settings.lake)]
    groups = group_near_duplicates([*held_out, *labelled])
    taken = set(groups[len(held_out) :].tolist())
    return {at for at, group in enumerate(groups[: len(held_out)].tolist()) if group in taken}


def _labels(settings: Settings) -> dict[str, int]:
    """What reviewers were given of the day, by strategy, and how much of it was the campaign."""
    today = datetime.now(UTC).date().isoformat()
    labels = lake.read(settings.lake, "labels", [today]).to_pylist()
    language = {
        row["event_id"]: row["language"]
        for row in lake.read(settings.lake, "events", [today]).to_pylist()
    }
    return {
        "events": len({row["event_id"] for row in labels}),
        "spam": len({row["event_id"] for row in labels if row["label"] == "spam"}),
        "campaign": len({row["event_id"] for row in labels if language[row["event_id"]] == "zh"}),
    }


def minutes_of(live: Sequence[Seen], began: float) -> list[dict[str, Any]]:
    """Shares acted on by minute after the campaign's first post, the quiet minutes below 0."""
    minutes: dict[int, list[Seen]] = {}
    for one in live:
        minutes.setdefault(int((one.sent - began) // 60), []).append(one)
    return [
        {"minute": minute, "versions": sorted({one.version for one in found if one.version})}
        | {
            kind: _share([one.acted for one in found if one.kind == kind and one.answered])
            for kind in ("campaign", "ham", "spam")
        }
        for minute, found in sorted(minutes.items())
    ]


def _share(acted: Sequence[bool]) -> dict[str, Any]:
    if not len(acted):
        return {"count": 0, "of": 0, "share": None, "low": None, "high": None}
    found = clopper_pearson(sum(acted), len(acted))
    return {"count": sum(acted), "of": len(acted), "share": found.value, "low": found.low,
            "high": found.high}  # fmt: skip


def _minutes(loop: Loop, stage: str) -> float | None:
    return _since(loop, loop.at[stage]) if stage in loop.at else None


def _since(loop: Loop, at: datetime) -> float:
    return round((at - loop.began).total_seconds() / 60, 2)


def goals(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Nothing to measure is not met."""
    minutes = {row["stage"]: row["minutes"] for row in report["rows"]}
    quiet = [row for row in report["quiet"] if row["labels"] == "ham"]
    windows, alarmed = (sum(row[name] for row in quiet) for name in ("windows", "alarmed"))
    found = [
        {
            "id": "attack-response.quiet", "target": "<= 0.01",
            "statement": f"share of {windows} windows of real ham in which a campaign is alarmed",
            "measured": alarmed / windows, "met": alarmed / windows <= 0.01,
        }
    ]  # fmt: skip
    if not minutes:
        return found
    done, detected = minutes["done"], minutes["detected"]
    before, after = report["before"]["held_out"], (report["after"] or {}).get("held_out")
    return [
        {
            "id": "attack-response.minutes", "target": f"<= {GOAL_MINUTES:g}",
            "statement": "minutes from the campaign's first post to the full rollout, unattended",
            "measured": done, "met": done is not None and done <= GOAL_MINUTES,
        },
        {
            "id": "attack-response.detected", "target": "<= 4",
            "statement": "minutes until it is detected: two monitoring intervals",
            "measured": detected, "met": detected is not None and detected <= 4.0,
        },
        {
            "id": "attack-response.recall", "target": "interval above the champion's",
            "statement": "recall on campaign texts that nobody sent or labelled before",
            "measured": after, "met": bool(after) and after["low"] > before["high"],
        },
        *found,
    ]  # fmt: skip


def as_text(report: Mapping[str, Any]) -> str:
    """The tables for people."""
    lines = [
        f"{row['dataset']:<24}{row['labels']:<10}{row['posts_a_window']:>4} posts: "
        f"{row['alarmed']} of {row['windows']} windows alarmed"
        for row in report["quiet"]
    ]
    lines += [
        f"{row['stage']:<10}{'not reached' if row['minutes'] is None else row['minutes']:>12} min"
        for row in report["rows"]
    ]
    for name in ("before", "after"):
        for kind, share in (report.get(name) or {}).items():
            lines.append(f"{name:<8}{kind:<18}{_shown(share)}")
    lines += [f"problem: {problem}" for problem in report.get("problems", ())]
    lines += [
        f"{'met' if goal['met'] else 'NOT MET':<8}{goal['statement']}: "
        f"{_shown(goal['measured']) if isinstance(goal['measured'], dict) else goal['measured']} "
        f"({goal['target']})"
        for goal in report["goals"]
    ]
    return "\n".join(lines)


def _shown(share: Mapping[str, Any]) -> str:
    if share["share"] is None:
        return "nothing to measure"
    value, low, high = (f"{share[name]:.3f}" for name in ("share", "low", "high"))
    return f"{share['count']}/{share['of']} {value} [{low}, {high}]"


def _say(message: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {message}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
