"""What headers say of a request's class and time; nonsense is a bad request that says so."""

from __future__ import annotations

import pytest

from data_contracts.config import PRIORITIES, load_settings
from serving.request_class import DEADLINE, PRIORITY, priority_of, seconds_allowed
from serving.requests import BadRequest

ADMISSION = load_settings({}).serving.admission


def test_every_class_can_be_asked_for_and_without_a_word_it_is_normal() -> None:
    asked = [priority_of({PRIORITY: one.encode()}, mirrored=False) for one in PRIORITIES]
    assert asked == list(PRIORITIES)
    assert priority_of({}, mirrored=False) == "normal"


def test_a_mirrored_request_is_shadow_whatever_it_says() -> None:
    assert priority_of({PRIORITY: b"interactive"}, mirrored=True) == "shadow"


@pytest.mark.parametrize("named", [b"", b"urgent", b"Interactive", b"\xff\xfe"])
def test_a_class_that_there_is_not_is_refused_with_those_there_are(named: bytes) -> None:
    with pytest.raises(BadRequest, match="send one of interactive, normal, bulk, shadow"):
        priority_of({PRIORITY: named}, mirrored=False)


def test_a_request_may_shorten_the_time_of_its_class_and_not_lengthen_it() -> None:
    classes = ADMISSION.classes
    longest = classes["normal"].deadline_milliseconds / 1000
    assert seconds_allowed({}, "normal", ADMISSION) == longest
    assert seconds_allowed({DEADLINE: b"20"}, "normal", ADMISSION) == 0.02
    assert seconds_allowed({DEADLINE: b"9" * 4000}, "normal", ADMISSION) == longest


@pytest.mark.parametrize("named", [b"", b"0", b"-5", b"1.5", b"soon", "²".encode()])
def test_a_time_that_is_no_positive_number_is_refused(named: bytes) -> None:
    with pytest.raises(BadRequest, match="send a whole number above 0"):
        seconds_allowed({DEADLINE: named}, "normal", ADMISSION)
