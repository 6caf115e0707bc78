"""Reversals: noted before and after, told once, signed; and the platform that does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_contracts.errors import ServiceUnavailable
from pipelines.state import open_state
from serving.appeals.reversals import PlatformWebhook, Reversal, Reversals
from tests.appeal_cases import KEY, Clock, Platform
from tests.performance.platform_emulator import PlatformEmulator, platform_emulator

ONE = Reversal("r-1", "e1", 0, "block", "rae", "appeal a-1")


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def reversals(tmp_path: Path, platform: Platform) -> Iterator[Reversals]:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    made = Reversals(engine, platform, Clock())
    made.prepare()
    yield made
    engine.dispose()


@pytest.fixture
def emulator() -> Iterator[PlatformEmulator]:
    with platform_emulator(KEY) as emulator:
        yield emulator


def test_an_action_is_taken_back_once_whoever_asks(
    reversals: Reversals, platform: Platform
) -> None:
    assert reversals.reverse(ONE) == ONE
    other = Reversal("r-1", "e1", 0, "block", "remedy x", "another reason")
    assert reversals.reverse(other) == ONE, "who came first stands"
    assert platform.told == [ONE]
    assert (reversals.intended(), reversals.done()) == ([], [ONE])


def test_what_the_platform_did_not_hear_stays_intended(
    reversals: Reversals, platform: Platform
) -> None:
    platform.down = True
    with pytest.raises(ServiceUnavailable):
        reversals.reverse(ONE)
    assert reversals.intended() == [ONE]
    platform.down = False
    reversals.reverse(ONE)
    assert reversals.intended() == []


def test_the_webhook_is_signed_and_its_id_is_the_key(emulator: PlatformEmulator) -> None:
    sink = PlatformWebhook(emulator.url, KEY, Clock())
    sink.reverse(ONE)
    sink.reverse(ONE)
    assert (emulator.deliveries, emulator.refused) == (2, 0)
    assert emulator.undone["r-1"]["event_id"] == "e1"


def test_a_platform_that_refuses_or_is_gone_is_told_again(emulator: PlatformEmulator) -> None:
    with pytest.raises(ServiceUnavailable, match="answered 401"):
        PlatformWebhook(emulator.url, "w" * 32, Clock()).reverse(ONE)
    gone = PlatformWebhook("http://127.0.0.1:1/reversals", KEY, Clock())
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        gone.reverse(ONE)
    assert emulator.undone == {}
