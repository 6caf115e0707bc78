"""What each state of the store wants of the target."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from data_contracts.config import RolloutStep
from serving.rollout.phases import Phase, Rollout, Stable
from serving.rollout.plan import plan
from serving.rollout.targets.base import Counters, Deployment, Traffic

OLD, NEW = Deployment("models:/spam/1", "1"), Deployment("models:/spam/2", "2")
STABLE = Stable("a", OLD)


def rollout(phase: Phase, weight: int = 0) -> Rollout:
    kind = "shadow" if phase == "shadow" else "canary"
    step = RolloutStep(phase=kind, weight=weight, minimum_seconds=0, minimum_requests=1)
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    return Rollout(1, NEW, "b", "c", (step,), False, phase, 0, noon)


def test_without_a_champion_nothing_runs_and_nobody_answers() -> None:
    wanted = plan(None, None)
    assert (dict(wanted.slots), wanted.traffic) == ({}, None)


@pytest.mark.parametrize("phase", ["done", "rolled_back", "aborted"])
def test_after_a_rollout_only_the_champion_runs(phase: Phase) -> None:
    wanted = plan(rollout(phase), STABLE)
    assert dict(wanted.slots) == {"a": OLD}
    assert wanted.traffic == Traffic({"stable": "a"})


def test_a_pending_model_starts_unseen() -> None:
    wanted = plan(rollout("pending"), STABLE)
    assert dict(wanted.slots) == {"a": OLD, "b": NEW}
    assert wanted.traffic == Traffic({"stable": "a"})


def test_shadow_mirrors_and_answers_nothing() -> None:
    traffic = plan(rollout("shadow"), STABLE).traffic
    assert traffic == Traffic({"stable": "a"}, {"stable": 100}, mirror="b")
    assert traffic.visible_share("b") == 0


@pytest.mark.parametrize(
    ("weight", "expected"), [(10, (80, 10, 10)), (50, (0, 50, 50)), (80, (0, 20, 80))]
)
def test_a_canary_stands_beside_an_equal_baseline_as_far_as_there_is_room(
    weight: int, expected: tuple[int, int, int]
) -> None:
    wanted = plan(rollout("canary", weight), STABLE)
    assert wanted.traffic is not None
    weights = wanted.traffic.weights
    assert (weights["stable"], weights["baseline"], weights["canary"]) == expected
    assert dict(wanted.slots) == {"a": OLD, "b": NEW, "c": OLD}


def test_at_full_the_old_champion_stays_up_as_the_fallback() -> None:
    wanted = plan(rollout("full"), STABLE)
    assert dict(wanted.slots) == {"a": OLD, "b": NEW}
    assert wanted.traffic is not None
    assert wanted.traffic.visible_share("b") == 100
    assert wanted.traffic.fallbacks("b") == ("a",)


def test_a_first_champion_at_full_has_no_fallback() -> None:
    traffic = plan(replace(rollout("full"), first=True), None).traffic
    assert traffic is not None
    assert (traffic.visible_share("b"), traffic.fallbacks("b")) == (100, ())


def test_rolling_back_takes_the_model_out_of_traffic_from_every_phase() -> None:
    back = plan(rollout("rolling_back"), STABLE)
    for phase, weight in (("shadow", 0), ("canary", 10), ("full", 0)):
        assert back.lowers(plan(rollout(phase, weight), STABLE).traffic, "b")
    assert not back.lowers(back.traffic, "b")
    assert not plan(rollout("canary", 10), STABLE).lowers(Traffic({"stable": "a"}), "b")


def test_rolling_back_a_first_champion_leaves_nobody() -> None:
    first = replace(rollout("rolling_back"), first=True)
    assert plan(first, None).traffic is None
    assert plan(first, None).lowers(plan(replace(first, phase="full"), None).traffic, "b")


def test_copies_are_never_sent_a_second_time() -> None:
    assert Traffic({"stable": "a"}, mirror="b").fallbacks("b") == ()


def test_only_champions_stand_in_for_a_server_that_fails() -> None:
    traffic = plan(rollout("canary", 10), STABLE).traffic
    assert traffic is not None
    assert {slot: traffic.fallbacks(slot) for slot in "abc"} == {
        "a": ("c",), "b": ("a", "c"), "c": ("a",),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "mirror", "message"),
    [
        ({"stable": 130, "canary": -30}, None, "130; give a percentage"),
        ({"stable": 50, "canary": 40}, None, "sum to 90"),
        ({"stable": 50, "baseline": 50}, None, "baseline has weight 50 but no slot"),
        ({"stable": 50, "canary": 50}, "b", "mirrored to and answers"),
    ],
)
def test_traffic_that_is_none_is_refused(
    weights: dict[str, int], mirror: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Traffic({"stable": "a", "canary": "b"}, weights, mirror)


def test_one_slot_cannot_be_two_arms() -> None:
    with pytest.raises(ValueError, match="one slot to two arms"):
        Traffic({"stable": "a", "canary": "a"})


def test_counters_of_a_restarted_gateway_start_again() -> None:
    assert Counters(5, 1).since(Counters(90, 3)) == Counters(5, 1)
