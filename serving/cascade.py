"""From events to verdicts: which stages fit the time there is, the assessor, versions and arm.

Stages that are too dear for an event's time are withheld, and run after the answer, when
`revised` gives the verdict that supersedes it. What was decided about an event's cost stands in its
budget: the same event, versions and budget give the same verdict.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple, cast

from data_contracts.events import Event
from data_contracts.protocols import Assessor, SettlingAssessor
from data_contracts.verdicts import (
    UNBOUNDED,
    Arm,
    Assessment,
    Budget,
    Verdict,
    shifted_thresholds,
)
from serving.restraints import Held, Restraints, unrestrained
from serving.stage_bounds import AFTERWARDS, SWITCHED_OFF, StageBounds, left_out, within

_DRAWN_OF = 1 << 32


class Asked(NamedTuple):
    """An event that wants a verdict: the seconds its class allows, and when they end.

    `media_later`: nobody has time for its media, so their stages all run afterwards.
    """

    event: Event
    arm: Arm = "stable"
    seconds: float = math.inf
    deadline: float = math.inf
    media_later: bool = False


class Decided(NamedTuple):
    """A verdict, and what was decided about the event's cost."""

    verdict: Verdict
    budget: Budget


@dataclass(frozen=True)
class Decision:
    """The verdicts of one request, in the order of its events, and what deciding took.

    `budgets` are the cost decisions behind each verdict, for its record.
    """

    verdicts: tuple[Verdict, ...]
    milliseconds: float
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True)
class StageCosts:
    """Expected `milliseconds` of each stage that reads media; one that takes more than
    `longest_share` of an event's time runs afterwards. Of all events `every_stage_share` run every
    stage, whatever the early exit says, so that skipped stages stay measurable. `networks` are the
    stages that run one over the text, `others` those that do neither.
    """

    milliseconds: Mapping[str, float] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    longest_share: float = 1.0
    every_stage_share: float = 0.0

    def afterwards(self, seconds: float) -> dict[str, str]:
        """The stages that do not fit, each with the reason."""
        longest = 1000 * seconds * self.longest_share
        return self._afterwards(
            name for name, expected in self.milliseconds.items() if expected > longest
        )

    def media_afterwards(self) -> dict[str, str]:
        """Every stage that reads media, with the reason."""
        return self._afterwards(self.milliseconds)

    def networks_afterwards(self) -> dict[str, str]:
        """Every stage that reads media or runs a network over the text, with the reason."""
        return self._afterwards((*self.milliseconds, *self.networks))

    def switched_off(self) -> dict[str, str]:
        """Every stage beside the prefilter, with the reason."""
        stages = (*self.milliseconds, *self.networks, *self.others)
        return {name: f"{SWITCHED_OFF}:{name}" for name in stages}

    @staticmethod
    def _afterwards(stages: Iterable[str]) -> dict[str, str]:
        return {name: f"{AFTERWARDS}:{name}" for name in stages}


@dataclass(frozen=True)
class Cascade:
    """The ensemble as one version serves it.

    `model_version` is the registry's number where it is known, else the artefact's own id.
    A verdict depends on its event, its budget and the versions, never on its neighbours.
    What it is `held` to for a while is part of the budget.
    """

    assessor: Assessor
    model_version: str
    threshold_version: str
    costs: StageCosts = StageCosts()
    clock: Callable[[], float] = time.perf_counter
    held: Held = unrestrained

    def decide(self, events: Sequence[Event], arm: Arm = "stable") -> Decision:
        """One verdict an event, however long it takes, in the caller's thread."""
        began = self.clock()
        decided = self.decide_each([Asked(event, arm) for event in events])
        return Decision(
            tuple(one.verdict for one in decided),
            round(1000 * (self.clock() - began), 3),
            tuple(one.budget for one in decided),
        )

    def decide_each(self, asked: Sequence[Asked]) -> list[Decided]:
        """In order. Texts are assessed together, an event with media alone within its own time."""
        together: dict[bool, list[int]] = {False: [], True: []}
        groups: list[tuple[bool, list[int]]] = list(together.items())
        for at, one in enumerate(asked):
            every_stage = self._is_drawn(one.event)
            if one.event.media:
                groups.append((every_stage, [at]))
            else:
                together[every_stage].append(at)
        found: dict[int, Decided] = {}
        held = self.held()
        for every_stage, places in groups:
            mine = [asked[at] for at in places]
            decided = self._decided(mine, every_stage, held) if places else []
            found.update(zip(places, decided, strict=True))
        return [found[at] for at in range(len(asked))]

    def settled(self, asked: Sequence[Asked]) -> list[Decided | None]:
        """What `decide_each` would answer where no network is called for; None elsewhere."""
        found: list[Decided | None] = [None] * len(asked)
        places = [at for at, one in enumerate(asked) if self.may_settle(one.event)]
        if not places:
            return found
        assessor, held = cast(SettlingAssessor, self.assessor), self.held()
        assessments = assessor.settled([asked[at].event for at in places])
        for at, assessment in zip(places, assessments, strict=True):
            if assessment is not None:
                found[at] = Decided(
                    self._verdict(asked[at], assessment, held.threshold_shift),
                    self._budget(assessment, False, held),
                )
        return found

    def hurried(self, asked: Sequence[Asked]) -> list[Decided]:
        """By what needs neither networks nor media, for which no time is left; to be revised."""
        held = self.held()
        off = self.costs.switched_off() if held.prefilter_only else {}
        with within(StageBounds(self.costs.networks_afterwards() | off, is_guarded=False)):
            assessments = self._assess([one.event for one in asked], False, held)
        return self._as_decided(asked, assessments, False, held)

    def may_settle(self, event: Event) -> bool:
        """Whether `settled` may have an answer; quick to say."""
        return self._settles and not event.media and not self._is_drawn(event)

    @cached_property
    def _settles(self) -> bool:
        return isinstance(self.assessor, SettlingAssessor)

    def is_to_be_revised(self, decided: Decided) -> bool:
        """Whether a stage was left for afterwards that the event turned out to need."""
        return any(why.startswith(AFTERWARDS) for _, why in decided.budget.withheld)

    def revised(self, event: Event, before: Decided) -> Decided:
        """The verdict that supersedes `before`, with the stages that were left for afterwards.

        What the server is held to by then counts, and is what the new record says.
        """
        every_stage, held = before.budget.every_stage, self.held()
        off = self.costs.switched_off() if held.prefilter_only else {}
        with within(StageBounds(off, is_guarded=False)):
            (assessment,) = self._assess([event], every_stage, held)
        thresholds = shifted_thresholds(self.threshold_version, held.threshold_shift)
        verdict = replace(before.verdict.revised(assessment), threshold_version=thresholds)
        return Decided(verdict, self._budget(assessment, every_stage, held))

    def _decided(
        self, asked: Sequence[Asked], every_stage: bool, held: Restraints
    ) -> list[Decided]:
        seconds, deadline = asked[0].seconds, min(one.deadline for one in asked)
        withheld = self._withheld(asked[0], held)
        bounds = StageBounds(withheld, deadline, is_guarded=math.isfinite(seconds))
        with within(bounds):
            assessments = self._assess([one.event for one in asked], every_stage, held)
        return self._as_decided(asked, assessments, every_stage, held)

    def _as_decided(
        self,
        asked: Sequence[Asked],
        assessments: Sequence[Assessment],
        every_stage: bool,
        held: Restraints,
    ) -> list[Decided]:
        shift = held.threshold_shift
        return [
            Decided(
                self._verdict(one, assessment, shift), self._budget(assessment, every_stage, held)
            )
            for one, assessment in zip(asked, assessments, strict=True)
        ]

    def _withheld(self, asked: Asked, held: Restraints) -> dict[str, str]:
        if held.prefilter_only:
            return self.costs.switched_off()
        if not asked.event.media:
            return {}
        if asked.media_later:
            return self.costs.media_afterwards()
        return self.costs.afterwards(asked.seconds)

    def _assess(
        self, events: Sequence[Event], every_stage: bool, held: Restraints
    ) -> Sequence[Assessment]:
        assess: Callable[..., Sequence[Assessment]] = self.assessor.assess
        budget = Budget(every_stage=every_stage, threshold_shift=held.threshold_shift)
        return assess(events, **budget.as_arguments())

    def _verdict(self, asked: Asked, assessment: Assessment, shift: float = 0.0) -> Verdict:
        return Verdict.of(
            asked.event.event_id,
            assessment,
            model_version=self.model_version,
            threshold_version=shifted_thresholds(self.threshold_version, shift),
            arm=asked.arm,
        )

    def _budget(self, assessment: Assessment, every_stage: bool, held: Restraints) -> Budget:
        withheld, shift = left_out(assessment.stages), held.threshold_shift
        if not (withheld or every_stage or shift):
            return UNBOUNDED
        chance = self.costs.every_stage_share if every_stage else None
        return Budget(
            every_stage=every_stage, every_stage_chance=chance, withheld=withheld,
            threshold_shift=shift,
        )  # fmt: skip

    def _is_drawn(self, event: Event) -> bool:
        """By its id, so that every arm and every replay draws the same events."""
        if self.costs.every_stage_share <= 0:
            return False
        digest = blake2b(event.event_id.encode("utf-8", "surrogatepass"), digest_size=4).digest()
        return int.from_bytes(digest, "big") < self.costs.every_stage_share * _DRAWN_OF
