"""The process that acts: it makes the target what the store says, phase after phase.

Every step starts from the store and the target alone, so a controller that died anywhere is
replaced by one that knows nothing else. Traffic is never bolder than the store: what raises a
model's exposure is written first and done then, what lowers it is done first and written then.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from data_contracts.config import Rollout as RolloutSettings
from data_contracts.errors import BadInput, WeirError
from serving.rollout.analysis import Analysis, Bounds, Pairs, Sample, judge
from serving.rollout.approval_watch import Approval, ApprovalWatch, AtOnce
from serving.rollout.leadership import Leadership, LostLeadershipError
from serving.rollout.phases import (
    TERMINAL,
    Deadlines,
    Phase,
    Rollout,
    Stable,
    Transition,
    next_phase,
)
from serving.rollout.plan import Plan, plan
from serving.rollout.servers import ServerWatch
from serving.rollout.store import Clock, RolloutStore, utc_now
from serving.rollout.targets.base import Counters, Deployment, TrafficTarget
from training.registry import NotInRegistry

RAISING: tuple[Phase, ...] = ("shadow", "canary", "full")
ADOPTION_PAUSE_SECONDS = 30.0
TIDY_SECONDS = 60.0
IDLE_FACTOR = 4.0  # nobody waits on a controller without a rollout
MAXIMUM_RESTARTS = 1
NOT_APPROVED = "no approval stands"
KEPT_GROWTH = 1.1  # of the requests seen, between two measurements that are kept


class Evidence(Protocol):
    """What was seen since a phase was applied: see `evidence.PhaseEvidence`."""

    @property
    def since(self) -> datetime: ...
    def live(self) -> tuple[Sample, Sample]: ...
    def mirrored(self, copies: Counters) -> tuple[Sample, Sample, Pairs]: ...


OpenEvidence = Callable[[datetime, str], Evidence]


@dataclass(frozen=True)
class Registry:
    """What the controller asks of the model registry. Each may raise WeirError: asked again."""

    approval: Callable[[str], Approval]
    make_champion: Callable[[str], None]
    drop_challenger: Callable[[str], None]
    champion: Callable[[], Deployment | None]


class Controller:
    """Reconciles one target with one store, as long as it leads.

    `evidence` opens what was seen since a time, of a version; `start_seconds` is how long a
    model server may take to become ready; `say` gets a line for people; `beside` puts questions
    to the registry that the loop must not wait for.
    """

    def __init__(
        self,
        target: TrafficTarget,
        store: RolloutStore,
        leadership: Leadership,
        registry: Registry,
        evidence: OpenEvidence,
        settings: RolloutSettings,
        *,
        slots: tuple[str, ...],
        start_seconds: float,
        clock: Clock = utc_now,
        say: Callable[[str], None] = print,
        tidy: Callable[[], None] = lambda: None,
        beside: Executor | None = None,
    ) -> None:
        self._target = target
        self._store = store
        self._leadership = leadership
        self._registry = registry
        self._approvals = ApprovalWatch(
            lambda version: self._registry.approval(version), beside or AtOnce(), clock
        )
        self._open_evidence = evidence
        self._settings = settings
        self._slots = slots
        self._deadlines = Deadlines(start_seconds, settings.progress_deadline_seconds)
        self._clock = clock
        self._say = say
        self._tidy = tidy
        self._evidence: Evidence | None = None
        self._kept: tuple[datetime | None, str, int] | None = None
        self._servers = ServerWatch(target, clock, start_seconds)
        self._asked_registry: datetime | None = None
        self._tidied: datetime | None = None
        self._last_problem = ""

    def run(self, stopping: Callable[[], bool], sleep: Callable[[float], object]) -> None:
        """Step until `stopping`; a problem is said once and tried again at the next step."""
        while not stopping():
            idle = True
            try:
                if self._leadership.claim():
                    idle = not self.step()
                    self._last_problem = ""
                else:
                    self._complain("another controller leads; waiting to take over")
            except LostLeadershipError:
                raise
            except Exception as error:
                self._complain(f"{type(error).__name__}: {error}; trying again")
            sleep(self._settings.poll_seconds * (IDLE_FACTOR if idle else 1))

    def step(self) -> bool:
        """Look, act, decide: once. True while a rollout is under way."""
        self._tidy_now_and_then()
        rollout, stable = self._store.active(), self._store.stable()
        if rollout is not None:
            self._step_rollout(rollout, stable)
            return True
        stable = stable or self._adopt_champion()
        if stable is not None or self._target.traffic() is None:
            wanted = plan(None, stable)
            self._revive(wanted, None)
            self._converge(wanted, stable)
        return False  # what serves although neither store nor registry knows it goes on serving

    def _step_rollout(self, rollout: Rollout, stable: Stable | None) -> None:
        """Evidence is read before servers are looked at: a death is seen before its errors are."""
        analysis = self._analysed(rollout)
        broken, arrived, problem = self._act(rollout, stable)
        current = self._store.active() or rollout
        if current.applied_at is None:
            analysis = None
        if arrived and current.applied_at is None:
            counted = self._target.counters(rollout.canary_slot)
            current = self._store.applied(current, counted, self._leadership.fence)
        if analysis is not None:
            self._keep(current, analysis)
        seen = current if arrived else replace(current, applied_at=None)  # a server is missing
        to = next_phase(seen, analysis, self._clock(), self._deadlines, broken)
        if to is not None:
            trouble = "" if problem is None else f" (target: {problem})"
            self._move(current, stable, replace(to, reason=to.reason + trouble), analysis)
        if problem is not None:
            raise problem

    def _act(
        self, rollout: Rollout, stable: Stable | None
    ) -> tuple[str | None, bool, Exception | None]:
        """Why the rollout cannot go on; whether the target is as wanted; what the target raised.

        A target that fails must not keep anybody from deciding: deadlines and an abort still hold.
        """
        wanted = plan(rollout, stable)
        broken, arrived, problem = self._revoked(rollout), False, None
        try:
            lost = self._revive(wanted, rollout)  # the champion's too, whatever became of this one
            broken = broken or lost
            arrived = self._converge(wanted, stable)
        except LostLeadershipError:
            raise
        except Exception as error:
            problem = error
        return broken, arrived, problem

    def _keep(self, rollout: Rollout, analysis: Analysis) -> None:
        """A new verdict always; the same one on a tenth more requests, so it narrows in sight."""
        now = (rollout.applied_at, analysis.verdict, analysis.requests)
        if self._kept is None or now[:2] != self._kept[:2] or now[2] > self._kept[2] * KEPT_GROWTH:
            self._store.measured(rollout, analysis, self._leadership.fence)
            self._kept = now

    def _move(
        self, rollout: Rollout, stable: Stable | None, to: Transition, analysis: Analysis | None
    ) -> None:
        """Lower first, then write; write first, then raise (the next step converges)."""
        to = self._consented(rollout, stable, to)
        following = plan(replace(rollout, phase=to.phase, step=to.step), stable)
        may_lower = to.phase not in (*RAISING, *TERMINAL)
        if may_lower and following.lowers(self._target.traffic(), rollout.canary_slot):
            self._target.set_traffic(following.traffic)
        moved = self._store.advance(rollout, to, analysis, self._leadership.fence)
        self._evidence = None
        self._say(f"version {rollout.version}: {rollout.label} → {moved.label} ({to.reason})")

    def _consented(self, rollout: Rollout, stable: Stable | None, to: Transition) -> Transition:
        """What the registry has to say, and to be told, before a phase may begin or end."""
        if to.phase in RAISING:
            approval = self._registry.approval(rollout.version)
            begins = rollout.phase == "pending" and not self._comes_back(rollout)
            if approval.revoked or (begins and not approval.approved):
                reason = f"{NOT_APPROVED}: {approval.reason}"
                return Transition("rolling_back", rollout.step, reason)
        if to.phase == "done":
            try:
                self._registry.make_champion(rollout.version)
            except BadInput as error:
                return Transition("rolling_back", rollout.step, str(error))
        if to.phase in ("rolled_back", "aborted"):
            self._registry.drop_challenger(rollout.version)
            self._restore_champion(rollout, stable)
        return to

    def _comes_back(self, rollout: Rollout) -> bool:
        """Users lived with the version before: that its approval ran out since takes nothing back,
        or no release could be rolled back once the approval of the one before is some days old.
        """
        return rollout.is_return and self._store.was_done(rollout.version)

    def _restore_champion(self, rollout: Rollout, stable: Stable | None) -> None:
        """A controller that died between the registry's `done` and the store's left it ahead."""
        if stable is None or self._registry.champion() != rollout.model:
            return
        try:
            self._registry.make_champion(stable.model.version)
        except BadInput as error:
            self._say(f"the registry's champion stays version {rollout.version}: {error}")

    def _revoked(self, rollout: Rollout) -> str | None:
        """Why the version may meet traffic no more; a registry that is down takes nothing back."""
        try:
            reason = self._approvals.revocation(rollout.version)
        except NotInRegistry as error:
            reason = str(error)
        except WeirError as error:
            self._complain(f"approval of version {rollout.version} unknown: {error}; asking again")
            return None
        return None if reason is None else f"{NOT_APPROVED}: {reason}"

    def _converge(self, wanted: Plan, stable: Stable | None) -> bool:
        """Bring the target closer to the plan; True when it is there.

        What takes requests from a model that is not the champion is done whoever is ready.
        """
        deployed, in_force = self._target.deployed(), self._target.traffic()
        missing = [slot for slot, model in wanted.slots.items() if deployed.get(slot) != model]
        released = [slot for slot in missing if wanted.releases(in_force, slot)]
        for slot in missing:
            if slot not in released:  # else the traffic goes first: nobody may meet a new model
                model = wanted.slots[slot]
                self._servers.forget(slot)
                self._target.deploy(slot, model.model_uri, model.version)
        expected = [slot for slot in wanted.slots if slot not in released]
        ready = [slot for slot in expected if self._servers.is_ready(slot)]
        champion = None if stable is None else stable.model
        others = [slot for slot, model in deployed.items() if model != champion]
        lowers = any(wanted.lowers(in_force, slot) for slot in others)
        if len(ready) < len(expected) and not lowers:
            return False
        self._target.set_traffic(wanted.traffic)
        for slot in self._target.deployed():
            if slot not in wanted.slots:
                self._target.remove(slot)
                self._servers.forget(slot)
        return len(ready) == len(wanted.slots)

    def _revive(self, wanted: Plan, rollout: Rollout | None) -> str | None:
        """Restart servers that died or hang; why the rollout cannot go on, if it cannot."""
        deployed = self._target.deployed()
        for slot, model in wanted.slots.items():
            if deployed.get(slot) != model or not self._servers.is_lost(slot):
                continue
            if rollout is not None and slot == rollout.canary_slot:
                if rollout.restarts >= MAXIMUM_RESTARTS:
                    return self._servers.obituary(slot, model)
                rollout = self._unapplied(rollout, restarts=rollout.restarts + 1)
                self._restart(slot, model)
            elif self._servers.may_restart(slot):
                if rollout is not None and slot == rollout.baseline_slot:
                    rollout = self._unapplied(rollout, restarts=rollout.restarts)
                self._restart(slot, model)
        return None

    def _unapplied(self, rollout: Rollout, *, restarts: int) -> Rollout:
        """Written before the restart: no evidence of the lost server counts, whoever goes on."""
        return self._store.unapplied(rollout, self._leadership.fence, restarts=restarts)

    def _restart(self, slot: str, model: Deployment) -> None:
        self._say(f"model server of version {model.version} in slot {slot} is gone: restarting it")
        self._servers.restart(slot)
        self._evidence = None

    def _analysed(self, rollout: Rollout) -> Analysis | None:
        """None also where nothing can be read: deadlines and an abort hold without figures."""
        try:
            return self._analyse(rollout)
        except Exception as error:
            self._complain(f"evidence: {type(error).__name__}: {error}; trying again")
            return None

    def _analyse(self, rollout: Rollout) -> Analysis | None:
        if rollout.applied_at is None or rollout.phase in ("pending", "rolling_back"):
            return None
        evidence = self._evidence_since(rollout.applied_at, rollout.version)
        step = rollout.current_step
        if step is None:
            seen = evidence.live()[0]
            return Analysis("not_judged", "", seen.requests, seen.errors)
        bounds = Bounds.of(self._settings, step, len(rollout.steps))
        if step.phase == "canary":
            return judge(*evidence.live(), None, bounds)
        counters = self._target.counters(rollout.canary_slot)
        canary, reference, pairs = evidence.mirrored(counters.since(self._store.counted(rollout)))
        return judge(canary, reference, pairs, bounds)

    def _evidence_since(self, since: datetime, version: str) -> Evidence:
        if self._evidence is None or self._evidence.since != since:
            self._evidence = self._open_evidence(since, version)
        return self._evidence

    def _adopt_champion(self) -> Stable | None:
        """A store that knows no stable model asks the registry now and then."""
        now = self._clock()
        pause = timedelta(seconds=ADOPTION_PAUSE_SECONDS)
        if self._asked_registry is not None and now - self._asked_registry < pause:
            return None
        self._asked_registry = now
        champion = self._registry.champion()
        if champion is None or self._was_taken_back(champion):
            return None
        running = (slot for slot, model in self._target.deployed().items() if model == champion)
        stable = Stable(next(running, self._slots[0]), champion)
        self._store.set_stable(stable, self._leadership.fence)
        self._say(f"version {champion.version}, the registry's champion, is stable")
        return stable

    def _was_taken_back(self, champion: Deployment) -> bool:
        """A first version may be champion in the registry alone: see `_restore_champion`."""
        latest = self._store.latest(champion.version)
        return latest is not None and latest.phase in ("rolled_back", "aborted")

    def _tidy_now_and_then(self) -> None:
        now = self._clock()
        if self._tidied is None or now - self._tidied > timedelta(seconds=TIDY_SECONDS):
            self._tidied = now
            self._tidy()

    def _complain(self, problem: str) -> None:
        if problem != self._last_problem:
            self._last_problem = problem
            self._say(problem)
