"""The rule that keeps the gates' rows out of training."""

from __future__ import annotations

import numpy as np
import pytest

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.holdout import HELD_OUT_SHARE, held_out, is_held_out, judged


def row(text: str, group: str | None = None) -> LabelledEvent:
    return LabelledEvent(Event(event_id=text[:64], text=text), "ham", "made", group)


MANY = [
    row(f"{word} {number:b}".translate(str.maketrans("01", "ab")))
    for word in ("lunch", "invoice", "holiday", "meeting")
    for number in range(500)
]


def test_about_the_share_of_all_messages_is_held_out() -> None:
    share = held_out(MANY).mean()
    assert share == pytest.approx(HELD_OUT_SHARE, abs=0.03)


def test_a_larger_share_holds_out_all_that_a_smaller_one_does() -> None:
    small, large = held_out(MANY, 0.1), held_out(MANY, 0.4)
    assert np.all(large[small])


@pytest.mark.parametrize(("share", "expected"), [(0.0, False), (1.0, True)])
def test_the_extremes(share: float, expected: bool) -> None:
    assert is_held_out("anything", share) is expected
    assert is_held_out("", share) is expected


def test_copies_that_differ_in_digits_case_and_signs_fall_on_one_side() -> None:
    texts = [f"WIN {number} pounds{sign} call now" for number in range(50) for sign in "!.,"]
    assert len({is_held_out(text) for text in texts}) == 1


def test_the_choice_does_not_depend_on_the_other_rows() -> None:
    alone = [is_held_out(each.event.text) for each in MANY[:50]]
    assert held_out(MANY)[:50].tolist() == alone


def test_a_held_out_row_that_resembles_a_training_row_is_not_judged() -> None:
    base = "your parcel waits at the depot, pay the fee today, and mention code"
    similar = [row(f"{base} {letter}") for letter in "abcdefghijklmnopqrst"]
    held = held_out(similar)
    assert held.any()
    assert not held.all()
    assert not judged(similar).any()
    assert judged([each for each, is_held in zip(similar, held, strict=True) if is_held]).all()


def test_a_held_out_row_of_a_training_rows_group_is_not_judged() -> None:
    held = next(each for each in MANY if is_held_out(each.event.text))
    trained = next(each for each in MANY if not is_held_out(each.event.text))
    together = [row(each.event.text, "one author") for each in (held, trained)]
    assert judged(together).tolist() == [False, False]
    assert judged([held, trained]).tolist() == [True, False]


def test_a_share_outside_zero_to_one_is_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        is_held_out("text", 1.2)
