"""The faults of the game day, each as an operator would meet it, and how each is put right.

A fault knows by which alerts it should be told of (`tells`: patterns of name and likely cause), so
that an alert about something else is no detection. `harm` is what users feel of it, measured on
what clients were answered, not on what monitoring says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from data_contracts.alerts import Alert
from tests.performance.game_day_models import FLIPPED
from tests.performance.game_day_sets import FLIPPED_SET
from tests.performance.game_day_stack import Stack
from tests.performance.game_day_traffic import Control, Sent
from tests.stand_ins.data_plane import wait_for

RATE = Control().rate
SLOW_MILLISECONDS = 150
SLO_SECONDS = 0.1  # of the caller, as infra/alerts/slo/slo.yaml promises
CAMPAIGN_SHARE, OTHER_SHARE = 0.2, 0.4
BURST = 2.5
HARM_SECONDS = 10.0  # of answers that say whether users still feel it
LEAST_ANSWERS = 20
ROLLOUT_SECONDS = 300.0

Harm = Callable[[Sequence[Sent]], float]


@dataclass(frozen=True)
class Fault:
    """`mend` puts the cause right, as a person would; None: the platform has to help itself.

    `most_harm`: below it users feel nothing. `expects`: the mitigations that the playbook takes
    without a person; empty where it has none for this.
    """

    name: str
    how: str
    tells: tuple[tuple[str, str], ...]
    expects: tuple[str, ...]
    inject: Callable[[Stack], None]
    mend: Callable[[Stack], None] | None
    harm: Harm
    most_harm: float
    is_harmful: bool = True

    def is_told_by(self, alert: Alert) -> bool:
        return any(
            fnmatchcase(alert.name, name) and fnmatchcase(alert.likely_cause, cause)
            for name, cause in self.tells
        )


def faults() -> tuple[Fault, ...]:
    """In the order of the day."""
    ordinary = lambda stack: stack.send(Control())  # noqa: E731
    return (
        Fault(
            "feature gone null", "clients leave the field `followers` out",
            tells=(("FeatureBroken", "*followers*"),), expects=("freeze_training",),
            inject=lambda stack: stack.send(Control(context={"followers": None})),
            mend=ordinary, harm=false_positives, most_harm=0.01,
        ),
        Fault(
            "unit change in a feature", "clients send `following` in thousands",
            tells=(("FeatureBroken", "*following*"),), expects=("freeze_training",),
            inject=lambda stack: stack.send(Control(context={"following": 0.001})),
            mend=ordinary, harm=false_positives, most_harm=0.01,
        ),
        Fault(
            "new campaign", f"{CAMPAIGN_SHARE:.0%} of the messages are spam of a kind unseen",
            tells=(("*Campaign*", "*"), ("Anomaly*", "*slice: language*")),
            expects=("sample_now",),
            inject=lambda stack: stack.send(Control(campaign=CAMPAIGN_SHARE)),
            mend=ordinary, harm=missed_spam, most_harm=0.05,
        ),
        Fault(
            "bad release", "a version that learnt flipped labels passed its gates; an operator "
            "promotes it through shadow and canary by hand",
            tells=(("*", "release*"), ("*FalsePositive*", "*"), ("*Precision*", "*"),
                   ("SpecialistsOverruledActedOn", "*")),
            expects=("roll_back_release",),
            inject=_bad_release, mend=None, harm=false_positives, most_harm=0.01,
        ),
        Fault(
            "dead feature store", "SIGKILL to Redis",
            tells=(("WeirFeatureStoreErrors", "*"), ("WeirDegradedVerdicts", "*"),
                   ("WeirBreaker*", "*")),
            expects=("freeze_training",),
            inject=lambda stack: stack.redis.kill(), mend=lambda stack: stack.redis.start(),
            harm=unanswered, most_harm=0.01,
        ),
        Fault(
            "latency regression", f"every call of the stage `meaning` takes "
            f"{SLOW_MILLISECONDS} ms longer",
            tells=(("WeirLatency*", "*"), ("WeirBreaker*", "*"), ("WeirLateVerdicts", "*")),
            expects=("shed", "freeze_training"),
            inject=lambda stack: _slow(stack, SLOW_MILLISECONDS),
            mend=lambda stack: stack.slow_file.unlink(missing_ok=True),
            harm=slow_answers, most_harm=0.05,
        ),
        Fault(
            "benign burst", f"{BURST:g} times as many messages, all of them ham",
            tells=(), expects=(),
            inject=lambda stack: stack.send(Control(rate=RATE * BURST, ham_only=True)),
            mend=ordinary, harm=unanswered, most_harm=0.01, is_harmful=False,
        ),
    )  # fmt: skip


def unanswered(sent: Sequence[Sent]) -> float:
    """Share of users' requests without a verdict."""
    return float(np.mean([one.status != 200 for one in sent]))


def slow_answers(sent: Sequence[Sent]) -> float:
    """Share of requests that took longer than promised, or got no verdict."""
    return float(np.mean([one.seconds > SLO_SECONDS or one.status != 200 for one in sent]))


def false_positives(sent: Sequence[Sent]) -> float:
    """Share of ham that was acted upon."""
    ham = [one for one in sent if not one.is_spam and one.status == 200]
    return float(np.mean([one.action != "allow" for one in ham])) if ham else 0.0


def missed_spam(sent: Sequence[Sent]) -> float:
    """Share of all requests that were spam and let through."""
    return float(np.mean([one.is_spam and one.action == "allow" for one in sent]))


def harm_now(fault: Fault, stack: Stack) -> float | None:
    """Of the last seconds; None where too few were answered to say."""
    recent = stack.answered(time.time() - HARM_SECONDS)
    sent = [one for one in recent if not one.is_bulk]  # what may wait is no user
    return fault.harm(sent) if len(sent) >= LEAST_ANSWERS else None


def _slow(stack: Stack, milliseconds: int) -> None:
    stack.slow_file.write_text(str(milliseconds))


def _bad_release(stack: Stack) -> None:
    """Returns when it answers everything; what it silences is `FLIPPED_SET`'s ham."""
    from infra.local.commands import CommandError

    version = stack.version_of(FLIPPED)
    stack.roll_out(version)
    told: set[str] = set()

    def promoted() -> bool:
        now = stack.rollouts.latest(version)
        assert now is not None
        if not now.active:
            assert now.phase == "done", f"{FLIPPED_SET} was not silenced: {now.reason}"
            return True
        if now.phase in ("shadow", "canary") and now.applied_at and now.label not in told:
            try:
                stack.command("serving", "rollout", "promote")
                told.add(now.label)
            except CommandError:
                return False
        return False

    wait_for(promoted, "the bad release in full", ROLLOUT_SECONDS)
