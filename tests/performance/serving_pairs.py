"""The ensemble as it is served, beside heavy models always: cost and average precision, in pairs.

Two servers with the same model answer the same events in turn, through one gateway each. The
second runs every stage for every event, and has so much time that it leaves out none. CPU is
counted until the servers are idle, so stages that run after the answer are in it. Scores are those
of the answers; of stages that were left for afterwards, the revised verdicts on record are shown
beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import orjson

from evaluation.metrics import Floats, average_precision, paired_bootstrap
from tests.performance.http_shots import EVENT_ID, Booleans, Heard, Integers
from tests.performance.serving_bench import FEW_CONNECTIONS, Bench
from tests.performance.serving_mix import MIX, SEED, Mix
from tests.performance.serving_report import say, spread
from tests.performance.serving_stack import Stack, serve, stack

ROUNDS, PAIR_EVENTS, WARM_UP_EVENTS = 5, 800, 100
RESAMPLES, REPEATS = 1000, 3
FIRST_OF_AN_EVENT = 10_000_000  # numbers of events: apart from those of other runs
WEIR, HEAVY = "weir", "heavy"
CHEAPER, MARGIN, VERDICTS_A_CORE_SECOND = 5.0, 0.002, 2000.0
A_MINUTE = "60000"  # milliseconds
_CLASSES = ("INTERACTIVE", "NORMAL", "BULK", "SHADOW")
EVERY_STAGE: Mapping[str, str] = {
    "WEIR__SERVING__EVERY_STAGE_SHARE": "1.0",
    "WEIR__SERVING__LONGEST_STAGE_SHARE": "1.0",
    "WEIR__SERVING__STAGE_GUARDS__MINIMUM_BUDGET_MILLISECONDS": A_MINUTE,
    **{
        f"WEIR__SERVING__ADMISSION__CLASSES__{name}__DEADLINE_MILLISECONDS": A_MINUTE
        for name in _CLASSES
    },
}


@dataclass
class Measured:
    """One system over the rounds so far; a score is NaN until it is known."""

    running: Stack
    scores: Floats
    a_core_second: list[float] = field(default_factory=list)
    with_envoy: list[float] = field(default_factory=list)
    envoy_microseconds: list[float] = field(default_factory=list)
    refused: int = 0


def pairs(bench: Bench) -> None:
    heavy = {**bench.environment, **EVERY_STAGE}
    n = len(bench.mix.events)
    with (
        stack({WEIR: serve(bench.model)}, bench.environment, bench.home, bench.cores) as ours,
        stack({HEAVY: serve(bench.model)}, heavy, bench.home, bench.cores) as theirs,
    ):
        systems = {
            name: Measured(running, np.full(n, np.nan))
            for name, running in ((WEIR, ours), (HEAVY, theirs))
        }
        for one in systems.values():
            bench.warm_up(one.running, WARM_UP_EVENTS)
            one.running.server.cpu_seconds_when_idle()
        for turn in range(ROUNDS):
            for name in sorted(systems, reverse=bool(turn % 2)):
                _round(bench, systems[name], turn)
            shown = ", ".join(f"{k} {one.a_core_second[-1]:,.0f}" for k, one in systems.items())
            say(f"ensemble: round {turn + 1} of {ROUNDS}, verdicts a core-second: {shown}")
    _costs(bench, systems)
    _precision(bench, systems)


def _round(bench: Bench, one: Measured, turn: int) -> None:
    places = np.arange(turn * PAIR_EVENTS, (turn + 1) * PAIR_EVENTS)
    server, envoy = one.running.server, one.running.gateway
    before, envoy_before = server.cpu_seconds, envoy.cpu_seconds
    heard = _ask(bench, one, places)
    answered = int((heard.statuses == 200).sum())
    used, by_envoy = server.cpu_seconds_when_idle() - before, envoy.cpu_seconds - envoy_before
    one.refused += len(places) - answered
    one.a_core_second.append(answered / used)
    one.with_envoy.append(answered / (used + by_envoy))
    one.envoy_microseconds.append(1e6 * by_envoy / len(places))
    for _ in range(REPEATS):  # not measured: a verdict for those that were turned away
        if len(left := places[np.isnan(one.scores[places])]):
            _ask(bench, one, left, connections=2, first=0)


def _ask(
    bench: Bench, one: Measured, places: Integers, connections: int = FEW_CONNECTIONS,
    first: int | None = None,
) -> Heard:  # fmt: skip
    requests = bench.mix.requests()
    numbered = FIRST_OF_AN_EVENT + int(places[0]) if first is None else first
    chosen = [requests[at] for at in places]
    heard = bench.load.closed(one.running.gateway.port, chosen, connections, numbered)
    for at, status, body in zip(places, heard.statuses, heard.bodies, strict=True):
        if status == 200:
            one.scores[at] = orjson.loads(body)["predictions"][0]["score"]
    return heard


def _costs(bench: Bench, systems: Mapping[str, Measured]) -> None:
    report = bench.report
    for name, one in systems.items():
        report.row(
            "ensemble", system=name, rounds=ROUNDS, events_a_round=PAIR_EVENTS, mix=dict(MIX),
            verdicts_a_core_second_of_the_server=spread(one.a_core_second),
            verdicts_a_core_second_with_envoy=spread(one.with_envoy),
            envoy_microseconds_a_request=spread(one.envoy_microseconds),
            refused_at_first=one.refused,
        )  # fmt: skip
    rate = median(systems[WEIR].a_core_second)
    report.goal(
        "verdicts_a_core_second", "verdicts a core-second of the server and its workers, with the "
        "stages that run after the answer, without Envoy", f">= {VERDICTS_A_CORE_SECOND:g}", rate,
        met=rate >= VERDICTS_A_CORE_SECOND,
    )  # fmt: skip
    both = (one.a_core_second for one in systems.values())
    ratios = [ours / theirs for ours, theirs in zip(*both, strict=True)]
    report.goal(
        "against_heavy", "times the verdicts a core-second of heavy models always, median of "
        "pairs", f">= {CHEAPER:g}", median(ratios), met=median(ratios) >= CHEAPER,
        range=spread(ratios)["range"],
    )  # fmt: skip


def _precision(bench: Bench, systems: Mapping[str, Measured]) -> None:
    ours, theirs = (one.scores for one in systems.values())
    revised = _revised(bench.home / "decisions", ours)
    known = ~(np.isnan(ours) | np.isnan(theirs))
    spam, groups = bench.mix.spam[known], bench.mix.groups[known]
    answers = {WEIR: ours[known], HEAVY: theirs[known], "weir, revised": revised[known]}
    for name, scores in answers.items():
        bench.report.row(
            "average precision", system=name, events=int(known.sum()), spam=int(spam.sum()),
            average_precision=round(average_precision(spam, scores), 4),
            by_kind=_by_kind(bench.mix, known, scores),
        )  # fmt: skip

    def difference(weights: Floats) -> float:
        mine, other = (average_precision(spam, answers[name], weights) for name in (WEIR, HEAVY))
        return mine - other

    rng = np.random.default_rng(SEED)
    found = paired_bootstrap(difference, groups, rng, resamples=RESAMPLES)
    bench.report.goal(
        "average_precision", "average precision less that of heavy models always, same events",
        f">= -{MARGIN:g}", found.value, met=found.value >= -MARGIN,
        interval=[round(found.low, 4), round(found.high, 4)],
        settled=not found.low < -MARGIN < found.high,
    )  # fmt: skip


def _by_kind(mix: Mix, known: Booleans, scores: Floats) -> dict[str, float]:
    kinds, spam = mix.kinds[known], mix.spam[known]
    chosen = {kind: kinds == kind for kind in MIX}
    return {
        kind: round(average_precision(spam[own], scores[own]), 4)
        for kind, own in chosen.items()
        if spam[own].any()
    }


def _revised(decisions: Path, answered: Floats) -> Floats:
    """The scores on record that superseded an answer's."""
    scores = answered.copy()
    numbers = {EVENT_ID.format(FIRST_OF_AN_EVENT + at): at for at in range(len(scores))}
    for file in sorted(decisions.glob(f"{WEIR}-*.jsonl")):
        for line in file.read_bytes().splitlines():
            verdict = orjson.loads(line)["verdict"]
            if verdict["revision"] and verdict["event_id"] in numbers:
                scores[numbers[verdict["event_id"]]] = verdict["score"]
    return scores
