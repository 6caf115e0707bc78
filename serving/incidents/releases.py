"""Mitigations about releases: abort a rollout, roll one back, look at one in shadow.

None undoes itself: a release comes back by its own steps only, and its error says by which command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from data_contracts.config import RolloutStep
from pipelines import audit_trail
from serving.incidents.mitigation import RESPONDER, CannotMitigate, Case, Target
from serving.rollout.phases import Rollout, Stable
from serving.rollout.store import Fence, RolloutStore
from serving.rollout.targets.base import Deployment
from training.promotion import CHAMPION_SET

Refusal = Callable[[str], str | None]
TAKEN_BACK = ("rolling_back", "rolled_back", "aborted")
RECENT = timedelta(hours=1)  # what was ended so shortly before an incident is what it is about
NEVER_SECONDS = 10 * 365 * 86_400.0  # a shadow that is only looked at never passes to a canary


@dataclass(frozen=True)
class AbortRollout:
    """Asks the rollout controller to abort; the champion answers everything within its next step.

    A rollout of another version than the alert names is let alone. Asking twice is asking once.
    """

    store: RolloutStore

    def prepare(self, case: Case) -> Target:
        rollout, blamed = self.store.active(), case.named("model_version")
        if rollout is None:
            rollout = self._just_ended(case.incident.began_at)
        if blamed is not None and blamed != rollout.version:
            raise CannotMitigate(
                f"the rollout under way is of version {rollout.version}, the alert is about "
                f"version {blamed}"
            )
        return {"rollout": rollout.id, "version": rollout.version}

    def is_done(self, target: Target) -> bool:
        """It is being aborted, or ended otherwise than by being done."""
        found = self._found(target)
        ended_well = found.phase == "done"
        return not ended_well and (not found.active or _is_being_aborted(found))

    def act(self, target: Target, _fence: Fence, /) -> None:
        found = self._found(target)
        if found.phase == "done":
            raise CannotMitigate(f"version {found.version} became champion meanwhile")
        self.store.ask("abort", RESPONDER)

    def undo(self, target: Target, _fence: Fence, /) -> None:
        raise CannotMitigate(
            "an abort is never taken back; look, then begin anew: python -m serving rollout start "
            f"--version {target['version']}"
        )

    def _just_ended(self, began: datetime) -> Rollout:
        """Alerts lag: one that comes soon after an abort is about what was aborted."""
        latest = self.store.latest()
        if latest is None or latest.phase == "done" or began - latest.entered_at > RECENT:
            raise CannotMitigate("no rollout is under way")
        return latest

    def _found(self, target: Target) -> Rollout:
        """By version: a later rollout of the same one is another rollout."""
        found = self.store.latest(target["version"])
        if found is None or found.id != target["rollout"]:
            raise CannotMitigate(f"rollout {target['rollout']} was followed by another one")
        return found


@dataclass(frozen=True)
class RollBackRelease:
    """Makes the champion before the last release champion again, by a rollout without steps.

    Who was champion when stands in the audit trail. `refusal` says why a version may not meet
    traffic, None where it may: the rollout controller asks the same, and no champion whose approval
    was revoked comes back. Only a release that is recent and older than the incident is suspected,
    and only if the alert names no other version. What another incident rolled back is not rolled
    back again, and never forward to what was bad.
    """

    store: RolloutStore
    trail: Engine
    slots: Sequence[str]
    released_within: timedelta
    refusal: Refusal

    def prepare(self, case: Case) -> Target:
        stable, active = self.store.stable(), self.store.active()
        blamed, began = case.named("model_version"), case.incident.began_at
        if (going_back := self._going_back(began)) is not None:
            return going_back
        if stable is None:
            raise CannotMitigate("no champion is in traffic")
        if active is not None and not _is_being_aborted(active):
            raise CannotMitigate(f"version {active.version} is at {active.label}; abort it first")
        if blamed not in (None, stable.model.version):
            raise CannotMitigate(f"version {blamed} is not in traffic, "
                                 f"version {stable.model.version} is")  # fmt: skip
        uri = self._before(stable, began)
        version = uri.rpartition("/")[2]
        if (why := self.refusal(version)) is not None:
            raise CannotMitigate(
                f"version {version}, the champion before, may not meet traffic: {why}; a reviewer "
                f"approves it in MLflow, then: python -m serving rollout start --version {version}"
            )
        latest = self.store.latest(version)
        return {
            "from": stable.model.version, "version": version, "model_uri": uri,
            "after": 0 if latest is None else latest.id,
        }  # fmt: skip

    def is_done(self, target: Target) -> bool:
        """It is under way, or the former champion answers everything."""
        found = _rollout_after(self.store, target)
        return found is not None and found.phase not in TAKEN_BACK

    def act(self, target: Target, _fence: Fence, /) -> None:
        found = _rollout_after(self.store, target)
        if found is not None and found.phase in TAKEN_BACK:
            raise CannotMitigate(f"the roll-back to version {found.version} ended: {found.reason}")
        stable = self.store.stable()
        if stable is None or stable.model.version != target["from"]:
            raise CannotMitigate(f"version {target['from']} left traffic meanwhile")
        model = Deployment(target["model_uri"], target["version"])
        self.store.start(model, (), self.slots)

    def undo(self, target: Target, _fence: Fence, /) -> None:
        raise CannotMitigate(
            "a release comes back by its own steps only: python -m serving rollout start "
            f"--version {target['from']}"
        )

    def _going_back(self, began: datetime) -> Target | None:
        """The roll-back that another incident began, or that ended shortly before this one."""
        latest = self.store.latest()
        if latest is None or not latest.is_return:
            return None
        if not latest.active and (latest.phase != "done" or began - latest.entered_at > RECENT):
            return None
        return {
            "from": "", "version": latest.version, "model_uri": latest.model.model_uri,
            "after": latest.id - 1,
        }  # fmt: skip

    def _before(self, stable: Stable, began: datetime) -> str:
        """The URI of the champion before this one."""
        came_by = self.store.latest(stable.model.version)
        if came_by is not None and came_by.is_return:
            raise CannotMitigate(
                f"version {stable.model.version} came back by a roll-back itself; choose a version "
                "by hand: python -m serving rollout start --version V"
            )
        rows = [row for row in audit_trail.entries(self.trail) if row.what == CHAMPION_SET]
        if not rows or rows[-1].subject != stable.model.model_uri:
            raise CannotMitigate(
                f"the audit trail does not say when {stable.model.model_uri} became champion"
            )
        released = rows[-1].at
        if released > began:
            raise CannotMitigate(f"version {stable.model.version} became champion at "
                                 f"{released:%Y-%m-%d %H:%M} UTC, after it began")  # fmt: skip
        if began - released > self.released_within:
            hours = self.released_within.total_seconds() / 3600
            raise CannotMitigate(f"the last release, at {released:%Y-%m-%d %H:%M} UTC, is more "
                                 f"than {hours:g} hours older")  # fmt: skip
        before = [row.subject for row in rows if row.subject != stable.model.model_uri]
        if not before:
            raise CannotMitigate(f"version {stable.model.version} is the first champion")
        return before[-1]


@dataclass(frozen=True)
class ShadowForInvestigation:
    """Gives the suspected version copies of traffic again, which decide nothing.

    It is a rollout whose shadow step never passes: it ends by an abort, or at the rollout's own
    deadline. Until then no other rollout can start.
    """

    store: RolloutStore
    slots: Sequence[str]

    def prepare(self, case: Case) -> Target:
        active = self.store.active()
        if active is not None:
            raise CannotMitigate(f"version {active.version} is at {active.label}; wait for its end")
        latest = self.store.latest(case.named("model_version"))
        if latest is None or latest.phase == "done":
            raise CannotMitigate("no version that was taken back is known")
        return {"version": latest.version, "model_uri": latest.model.model_uri, "after": latest.id}

    def is_done(self, target: Target) -> bool:
        return _rollout_after(self.store, target) is not None

    def act(self, target: Target, _fence: Fence, /) -> None:
        step = RolloutStep(
            phase="shadow", weight=0, minimum_seconds=NEVER_SECONDS, minimum_requests=1
        )
        model = Deployment(target["model_uri"], target["version"])
        self.store.start(model, (step,), self.slots)

    def undo(self, target: Target, _fence: Fence, /) -> None:
        found = _rollout_after(self.store, target)
        if found is not None and found.active and not _is_being_aborted(found):
            self.store.ask("abort", RESPONDER)


def _is_being_aborted(rollout: Rollout) -> bool:
    return rollout.request == "abort" or rollout.phase == "rolling_back"


def _rollout_after(store: RolloutStore, target: Target) -> Rollout | None:
    """The rollout of the target's version that began after the intent."""
    found = store.latest(target["version"])
    return found if found is not None and found.id > target["after"] else None
