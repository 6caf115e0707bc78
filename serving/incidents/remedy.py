"""Undoing harm: what a bad version enforced is judged again by the champion, and taken back.

Rollback alone repairs nobody: whom the bad version silenced stays silenced. A remedy finds the
version's actions that still stand, asks the champion about the same events by the same inference
as serving, lists those on which the champion would not act, and reverses them: each once, through
the ledger of reversals, however often it is stopped and begun again. What the champion confirms and
what a person decided is never touched. Each account gets an appeal that is granted, so that it is
told; its label and golden case wait for a person, for the champion's word is no label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Protocol

from data_contracts.events import Event
from data_contracts.verdicts import Verdict
from pipelines import lake
from pipelines.labelling.appeals import AppealStore
from serving.appeals.contested import contest
from serving.appeals.reversals import Reversal, Reversals
from serving.incidents.enforced_actions import Enforced, EnforcedActions, Standing
from serving.incidents.remedy_ledger import OPEN, Judged, RemedyLedger, judge

CHUNK = 256  # events that are judged, and noted, together


class Judge(Protocol):
    """The champion."""

    def __call__(self, events: Sequence[Event], /) -> Sequence[Verdict]:
        """One verdict an event, in order, with no bound on its time."""
        ...


@dataclass(frozen=True)
class Remedy:
    """Plans, and carries out, one remedy; `clock` gives aware times."""

    actions: EnforcedActions
    ledger: RemedyLedger
    champion: Judge
    store: AppealStore
    reversals: Reversals
    clock: Callable[[], datetime]

    def plan(self) -> Standing:
        """Judge and note every action that is not noted yet. Touches nobody."""
        self.ledger.prepare(self.clock())
        standing = self.actions.standing()
        known = self.ledger.known()
        new = {
            one: action
            for one, action in standing.actions.items()
            if (one, action[0].revision) not in known
        }
        said = said_by_people(self.actions.lake, self.store, list(new))
        for chunk in _chunks(self.actions.read(new)):
            verdicts = self.champion([one.event for one in chunk])
            self.ledger.add(
                [
                    judge(contest(one.verdict, one.decided_at, one.event), verdict,
                          said.get(one.event.event_id), one.where)
                    for one, verdict in zip(chunk, verdicts, strict=True)
                ]
            )  # fmt: skip
        return standing

    def execute(self, standing: Standing) -> None:
        """Take back every wrongful action that is open. Raises ServiceUnavailable where the
        platform cannot be told; what was done is noted, and the next call goes on there.
        """
        todo = [one for one in self.ledger.actions() if is_open(one)]
        said = said_by_people(self.actions.lake, self.store, [one.event_id for one in todo])
        for one in todo:
            if not standing.has(one.event_id, one.revision):
                self.ledger.settle(one, "no_longer_stands")
            elif one.event_id in said:
                self.ledger.settle(one, "decided_meanwhile")
            else:
                self._take_back(one)

    def _take_back(self, judged: Judged) -> None:
        """The appeal first: who holds it is not overruled, and nobody takes it meanwhile."""
        by, contested = self.ledger.by, judged.contested
        why = f"version {contested.model_version} was wrong here, a newer look found"
        if contested.account:
            appeal = self.store.grant(contested, by, why, self.clock())
            if appeal.state == "under_review":
                self.ledger.settle(judged, "with_a_reviewer")
                return
            if appeal.state == "upheld" or (appeal.state == "overturned" and appeal.reviewer != by):
                self.ledger.settle(judged, "decided_meanwhile")
                return
        standing = self.reversals.reverse(Reversal.of(contested, by, why))
        self.ledger.settle(judged, "reversed" if standing.by == by else "reversed_before")


def is_open(judged: Judged) -> bool:
    """Whether it is wrongful, and still to be taken back."""
    return judged.outcome == "wrongful" and judged.state in OPEN


def said_by_people(folder: Path, store: AppealStore, event_ids: Sequence[str]) -> Mapping[str, str]:
    """`spam` or `ham` for those of these events that a person decided, by label or on appeal."""
    wanted, said = set(event_ids), {}
    for day in lake.days(folder, "labels"):
        rows = lake.read(folder, "labels", [day], ["event_id", "label", "observed_at"])
        for row in rows.sort_by("observed_at").to_pylist():
            if row["event_id"] in wanted:
                said[row["event_id"]] = row["label"]
    for start in range(0, len(event_ids), CHUNK):  # databases bound the parameters of a statement
        decided = store.decided_by_people(event_ids[start : start + CHUNK])
        said |= {one: "spam" if state == "upheld" else "ham" for one, state in decided.items()}
    return said


def _chunks(actions: Iterable[Enforced]) -> Iterator[list[Enforced]]:
    left = iter(actions)
    while chunk := list(islice(left, CHUNK)):
        yield chunk
