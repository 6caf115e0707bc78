"""The approval of a rollout under way is asked beside the loop, and silence revokes nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from data_contracts.errors import ServiceUnavailable
from serving.rollout.approval_watch import EVERY_SECONDS, ApprovalWatch, AtOnce


@dataclass(frozen=True)
class Approval:
    approved: bool
    revoked: bool
    reason: str = ""


STANDING = Approval(approved=True, revoked=False)
EXPIRED = Approval(approved=False, revoked=False, reason="72 hours are over")
REVOKED = Approval(approved=False, revoked=True, reason="ada removed the tag")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_it_asks_every_few_seconds_and_tells_of_a_revocation() -> None:
    clock, answers = Clock(), [STANDING, EXPIRED, REVOKED]
    watch = ApprovalWatch(lambda _: answers.pop(0), AtOnce(), clock)
    assert [watch.revocation("2"), watch.revocation("2")] == [None, None]
    assert len(answers) == 2
    clock.passes(EVERY_SECONDS)
    assert watch.revocation("2") is None
    clock.passes(EVERY_SECONDS)
    assert watch.revocation("2") == "ada removed the tag"


def test_what_is_known_of_one_version_says_nothing_of_the_next() -> None:
    said = {"2": REVOKED, "3": STANDING}
    watch = ApprovalWatch(said.__getitem__, AtOnce(), Clock())
    assert watch.revocation("2") is not None
    assert watch.revocation("3") is None


def test_a_registry_that_is_down_is_reported_once_a_question_and_the_last_answer_holds() -> None:
    clock, answers = Clock(), [REVOKED]

    def ask(_version: str) -> Approval:
        if not answers:
            raise ServiceUnavailable("MLflow does not answer")
        return answers.pop()

    watch = ApprovalWatch(ask, AtOnce(), clock)
    assert watch.revocation("2") is not None
    clock.passes(EVERY_SECONDS)
    with pytest.raises(ServiceUnavailable):
        watch.revocation("2")
    assert watch.revocation("2") == "ada removed the tag"


def test_a_registry_that_hangs_keeps_nobody_waiting() -> None:
    answer = threading.Event()

    def ask(_version: str) -> Approval:
        answer.wait(10)
        return REVOKED

    with ThreadPoolExecutor(1) as beside:
        watch = ApprovalWatch(ask, beside, Clock())
        assert watch.revocation("2") is None
        answer.set()
    assert watch.revocation("2") == "ada removed the tag"
