"""Whole rollouts through a real Envoy at a steady load, with a fault in each.

Real: Envoy, the controller as a process, the state in PostgreSQL, HTTP clients that never retry.
Stand-ins, called so: model servers of the standard library (their answers are trivial), and a
registry of files. What clients were answered says which version answered whom.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy.exc import OperationalError

from data_contracts.config import PROJECT
from data_contracts.errors import WeirError
from serving.rollout.phases import Rollout
from serving.rollout.targets.base import Traffic
from tests.performance.steady_load import Answer, answers
from tests.postgresql import Cluster
from tests.stand_ins.controller_process import KILLED, Death
from tests.stand_ins.data_plane import Laboratory, laboratory, wait_for

RATE, CONNECTIONS = 220.0, 8
STEPS = [
    {"phase": "shadow", "weight": 0, "minimum_seconds": 0.5, "minimum_requests": 100},
    {"phase": "canary", "weight": 25, "minimum_seconds": 0.5, "minimum_requests": 100},
    {"phase": "canary", "weight": 50, "minimum_seconds": 0.5, "minimum_requests": 100},
]
LABELS = ("shadow", "canary 25 %", "canary 50 %")
WATCH_SECONDS = 0.05
SETTLE_SECONDS = 1.0  # before a fault, so that it meets steady traffic
OUTAGE_SECONDS = 30.0
NEVER = "the planned death never came"


@dataclass(frozen=True)
class Outcome:
    """What one scenario showed. `seconds` hold named durations; `spared`: failures that the goal
    does not count, because the only server of a slot, or the gateway itself, was killed."""

    scenario: str
    ended: str
    expected: str
    requests: int
    failed: int
    spared: bool
    too_bold: tuple[str, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def as_wanted(self) -> bool:
        fine = self.ended == self.expected and not self.too_bold and NEVER not in self.seconds
        return fine and (self.spared or not self.failed)

    def as_row(self) -> dict[str, Any]:
        rounded = {name: round(value, 2) for name, value in self.seconds.items()}
        return {**asdict(self), "seconds": rounded, "as_wanted": self.as_wanted}


class Rig:
    """A laboratory under load, whose controller is started again whenever it has died."""

    def __init__(self, lab: Laboratory, database: Cluster, out: Path) -> None:
        self.lab, self.database = lab, database
        self._out = out
        self._stop = threading.Event()
        self._too_bold: list[str] = []
        self._threads = [
            threading.Thread(target=self._watch), threading.Thread(target=self._keep_controller)
        ]  # fmt: skip
        self.deaths = 0

    @contextmanager
    def running(self) -> Iterator[Rig]:
        command = [
            sys.executable, "-m", "tests.performance.steady_load", f"--url={self.lab.url}",
            f"--rate={RATE}", f"--connections={CONNECTIONS}", f"--out={self._out}",
        ]  # fmt: skip
        self._out.touch()
        clients = subprocess.Popen(command, cwd=PROJECT)
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()
            clients.send_signal(signal.SIGTERM)
            clients.wait(timeout=30)

    def play(
        self,
        name: str,
        act: Callable[[Rig], tuple[Rollout, Mapping[str, float]]],
        expected: str,
        *,
        spared: bool = False,
    ) -> Outcome:
        """One scenario: what happened between its start and a second after its end."""
        began, bold_before = time.time(), len(self._too_bold)
        rollout, seconds = act(self)
        ended = self.lab.ended(rollout)
        time.sleep(SETTLE_SECONDS)
        heard = [answer for answer in answers(self._out) if answer.start >= began]
        too_bold = [*self._too_bold[bold_before:], *self._unapproved(heard)]
        return Outcome(
            name, ended.phase, expected, len(heard), sum(one.failed for one in heard), spared,
            tuple(dict.fromkeys(too_bold)), {**seconds, **self._rollback(ended, heard)},
        )  # fmt: skip

    def steady(self) -> None:
        time.sleep(SETTLE_SECONDS)

    def die(self, death: Death) -> None:
        """Let the controller's next life end so."""
        (self.lab.home / "die.json").write_bytes(orjson.dumps(asdict(death)))
        self.lab.send("controller", signal.SIGKILL)

    @contextmanager
    def without_database_and_registry(self) -> Iterator[None]:
        down = self.lab.home / "registry" / "down"
        down.touch()
        self.database.stop()
        try:
            yield
        finally:
            self.database.start()
            down.unlink()

    def _rollback(self, ended: Rollout, heard: list[Answer]) -> dict[str, float]:
        """Seconds from the decision to the end of the rollback, and to the last visible answer."""
        history = self.lab.store.history(ended)
        decided = next((one["at"] for one in history if one["to_phase"] == "rolling_back"), None)
        if decided is None:
            return {}
        at = datetime.fromisoformat(decided).timestamp()
        done = datetime.fromisoformat(history[-1]["at"]).timestamp()
        seen = [one.start for one in heard if one.version == ended.version and not one.failed]
        last = max(seen) - at if seen else 0.0
        return {"decision_to_end": done - at, "decision_to_last_answer": max(0.0, last)}

    def _unapproved(self, heard: list[Answer]) -> list[str]:
        approved = set(self.lab.registered("approved"))
        return [
            f"version {version}, which nobody approved, answered a client"
            for version in {one.version for one in heard if one.version} - approved
        ]

    def _watch(self) -> None:
        """Traffic is never bolder than the store was just before or just after."""
        store = self.lab.store
        while not self._stop.wait(WATCH_SECONDS):
            try:
                before, traffic, after = store.active(), self.lab.target.traffic(), store.active()
                stable = store.stable()
            except (OperationalError, WeirError):
                continue  # the database is down, and the store with it
            if stable is not None and traffic is not None:
                self._too_bold.extend(_bolder(traffic, stable.slot, before, after))

    def _keep_controller(self) -> None:
        while not self._stop.wait(WATCH_SECONDS):
            code = self.lab.exit_code("controller")
            if code is None:
                continue
            self.deaths += code in (KILLED, -signal.SIGKILL)
            self.lab.start_controller()


def _bolder(now: Traffic, champion: str, *states: Rollout | None) -> list[str]:
    """Where a slot other than the champion's answers more than any of these states lets it."""
    slot = now.slots.get("canary", champion)
    share, most = now.visible_share(slot), max(map(_allowed, states))
    if slot == champion or share <= most:
        return []
    return [f"the canary answers {share} % where {most} % are allowed"]


def _allowed(rollout: Rollout | None) -> int:
    """Percent of requests that this state lets the new version answer."""
    if rollout is None:
        return 0
    step = rollout.current_step
    return 100 if rollout.phase == "full" else 0 if step is None else step.weight


def rolled_out(rig: Rig) -> tuple[Rollout, dict[str, float]]:
    return rig.lab.roll_out(), {}


def aborted_at(label: str) -> Callable[[Rig], tuple[Rollout, dict[str, float]]]:
    def act(rig: Rig) -> tuple[Rollout, dict[str, float]]:
        rollout = rig.lab.roll_out("never-ready" if label == "pending" else "good")
        wait_for(lambda: _label(rig.lab, rollout) == label, label)
        rig.lab.store.ask("abort", by="bench")
        return rollout, {}

    return act


def aborted_while_paused(rig: Rig) -> tuple[Rollout, dict[str, float]]:
    rollout = rig.lab.roll_out()
    rig.lab.at(rollout, LABELS[1])
    rig.lab.store.ask("pause", by="bench")
    rig.lab.at(rollout, f"paused in {LABELS[1]}")
    rig.steady()
    rig.lab.store.ask("abort", by="bench")
    return rollout, {}


def bad(behaviour: str) -> Callable[[Rig], tuple[Rollout, dict[str, float]]]:
    """A version that misbehaves; how long from its first bad second to the end of the rollback."""

    def act(rig: Rig) -> tuple[Rollout, dict[str, float]]:
        rollout = rig.lab.roll_out(behaviour)
        label = LABELS[1] if behaviour.startswith("live") else LABELS[0]
        rig.lab.at(rollout, label)
        began = time.time()
        rig.lab.ended(rollout)
        return rollout, {"first_bad_to_end": time.time() - began}

    return act


def unapproved(rig: Rig) -> tuple[Rollout, dict[str, float]]:
    return rig.lab.roll_out(approved=False), {}


def revoked(rig: Rig) -> tuple[Rollout, dict[str, float]]:
    """The approval is taken back in the middle of a canary that is paused."""
    rollout = rig.lab.roll_out()
    rig.lab.at(rollout, LABELS[1])
    rig.lab.store.ask("pause", by="bench")
    rig.steady()
    rig.lab.revoke(rollout)
    began = time.time()
    rig.lab.ended(rollout)
    return rollout, {"revocation_to_end": time.time() - began}


def gateway_replaced(rig: Rig) -> tuple[Rollout, dict[str, float]]:
    rollout = rig.lab.roll_out()
    rig.lab.at(rollout, LABELS[1])
    rig.lab.take_over_gateway()
    return rollout, {}


def gateway_killed(rig: Rig) -> tuple[Rollout, dict[str, float]]:
    rollout = rig.lab.roll_out()
    rig.lab.at(rollout, LABELS[1])
    rig.lab.kill("gateway")
    rig.lab.start_gateway()
    return rollout, {}


def server_killed(arm: str) -> Callable[[Rig], tuple[Rollout, dict[str, float]]]:
    def act(rig: Rig) -> tuple[Rollout, dict[str, float]]:
        rollout = rig.lab.roll_out()
        rig.lab.at(rollout, LABELS[1])
        traffic = rig.lab.target.traffic()
        assert traffic is not None
        rig.lab.kill_server(traffic.slots[arm])  # type: ignore[index]
        return rollout, {}

    return act


def only_server_killed(rig: Rig) -> tuple[Rollout, dict[str, float]]:
    """No rollout stands beside it: the champion's one server dies, and a rollout follows."""
    traffic = rig.lab.target.traffic()
    assert traffic is not None
    rig.steady()
    rig.lab.kill_server(traffic.slots["stable"])
    wait_for(lambda: rig.lab.target.ready(traffic.slots["stable"]), "the champion is back")
    return rig.lab.roll_out(), {}


def controller_killed(
    death: Death, behaviour: str = "good"
) -> Callable[[Rig], tuple[Rollout, dict[str, float]]]:
    def act(rig: Rig) -> tuple[Rollout, dict[str, float]]:
        before = rig.deaths
        rig.die(death)
        wait_for(lambda: rig.deaths > before, "the controller was ended")
        rollout = rig.lab.roll_out(behaviour)
        rig.lab.ended(rollout)
        planned = rig.lab.home / "die.json"
        if planned.exists():
            planned.unlink()
            return rollout, {NEVER: 0.0}
        return rollout, {}

    return act


def outage(rig: Rig) -> tuple[Rollout, dict[str, float]]:
    """The state database and the registry are gone for half a minute in the middle of a canary."""
    rollout = rig.lab.roll_out()
    rig.lab.at(rollout, LABELS[1])
    with rig.without_database_and_registry():
        time.sleep(OUTAGE_SECONDS)
    return rollout, {}


def deaths() -> Iterator[tuple[str, Death, str, str]]:
    """Every transition of a rollout that ends well and of one that is rolled back from canary, with
    the controller ended before and after each act by which it is decided and carried out."""
    forward = ("pending", *LABELS, "full")
    for number, label in enumerate(forward):
        for moment in ("before", "after"):
            yield f"{label} left", Death("advance", moment, skip=number), "good", "done"
            for act in ("set_traffic", "applied"):
                if label != "full":
                    death = Death(act, moment, advances=number + 1)
                    yield f"{act} once {label} is left", death, "good", "done"
    for act in ("deploy", "make_champion"):
        for moment in ("before", "after"):
            yield act, Death(act, moment), "good", "done"
    bad_canary = "live,errors=0.6"
    for moment in ("before", "after"):
        yield f"{LABELS[1]} left", Death("advance", moment, skip=2), bad_canary, "rolled_back"
        yield "rolling_back left", Death("advance", moment, skip=3), bad_canary, "rolled_back"
        for act in ("set_traffic", "remove", "drop_challenger"):
            death = Death(act, moment, advances=3)
            yield f"{act} in rollback", death, bad_canary, "rolled_back"


def _label(lab: Laboratory, rollout: Rollout) -> str:
    now = lab.store.latest(rollout.version)
    return "" if now is None else now.label


def play(home: Path, database: Cluster, say: Callable[[str], None]) -> list[Outcome]:
    """Every scenario, one after the other, on one data plane."""
    found: list[Outcome] = []
    with laboratory(home, **settings(database)) as lab:
        lab.start_gateway()
        lab.start_controller()
        assert lab.ended(lab.roll_out()).phase == "done"
        with Rig(lab, database, home / "answers.jsonl").running() as rig:
            for name, act, expected, spared in scenarios():
                outcome = rig.play(name, act, expected, spared=spared)
                found.append(outcome)
                say(line(outcome))
    return found


def scenarios() -> Iterator[
    tuple[str, Callable[[Rig], tuple[Rollout, Mapping[str, float]]], str, bool]
]:
    yield "full rollout", rolled_out, "done", False
    for label in ("pending", *LABELS, "full"):
        yield f"aborted at {label}", aborted_at(label), "aborted", False
    yield "aborted while paused", aborted_while_paused, "aborted", False
    for behaviour in ("errors=0.6", "slow=120", "disagrees", "live,errors=0.6", "live,slow=120"):
        yield f"bad version: {behaviour}", bad(behaviour), "rolled_back", False
    yield "nobody approved it", unapproved, "rolled_back", False
    yield "approval taken back in canary", revoked, "rolled_back", False
    yield "gateway replaced in canary", gateway_replaced, "done", False
    for arm in ("stable", "baseline", "canary"):
        yield f"{arm}'s server killed in canary", server_killed(arm), "done", False
    yield "the champion's only server killed", only_server_killed, "done", True
    yield "gateway killed (SIGKILL) in canary", gateway_killed, "done", True
    yield f"database and registry down {OUTAGE_SECONDS:.0f} s in canary", outage, "done", False
    for name, death, behaviour, expected in deaths():
        title = f"controller killed {death.moment} {death.act}: {name}"
        yield title, controller_killed(death, behaviour), expected, False


def settings(database: Cluster) -> dict[str, object]:
    return {
        "STATE__URL": database.url,
        "ROLLOUT__STEPS": STEPS,
        "ROLLOUT__POLL_SECONDS": 0.1,
        "ROLLOUT__PROGRESS_DEADLINE_SECONDS": 120,
    }


def line(outcome: Outcome) -> str:
    times = ", ".join(f"{name} {value:.1f} s" for name, value in outcome.seconds.items())
    mark = "" if outcome.as_wanted else "  <-- NOT AS WANTED"
    return (
        f"{outcome.scenario:<62} {outcome.ended:<12} {outcome.requests:>6} requests, "
        f"{outcome.failed} failed  {times}{mark}"
    )
