"""Near-duplicates by hand-made examples, then properties."""

from __future__ import annotations

import numpy as np
import pytest

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from pipelines.near_duplicates import group_near_duplicates, group_related

CAMPAIGN = "Congratulations, you have won a prize of 500 pounds, call 0800123456 to claim it today"


def row(text: str, group: str | None = None) -> LabelledEvent:
    return LabelledEvent(Event(event_id="e", text=text), "ham", "set", group)


def test_spelling_case_space_and_numbers_do_not_separate_a_campaign() -> None:
    texts = [
        CAMPAIGN,
        CAMPAIGN.upper(),
        CAMPAIGN.replace("500", "2000").replace("0800123456", "0900"),
        CAMPAIGN.replace(" ", "  "),
        CAMPAIGN + " now",
        "Shall we have lunch at the station, or would you rather meet at home?",
    ]
    assert group_near_duplicates(texts).tolist() == [0, 0, 0, 0, 0, 1]


def test_fullwidth_letters_are_the_same_letters() -> None:
    assert group_near_duplicates(["free prize", "ｆｒｅｅ　ｐｒｉｚｅ"]).tolist() == [0, 0]


def test_chinese_texts_are_compared_by_characters() -> None:
    texts = [
        "加我微信领取红包福利多多快来吧",
        "加我微信领取红包福利多多快来",
        "今天晚上一起吃饭好吗",
    ]
    assert group_near_duplicates(texts).tolist() == [0, 0, 1]


def test_short_texts_join_only_when_equal() -> None:
    assert group_near_duplicates(["ok", "OK", "no", "", ""]).tolist() == [0, 0, 1, 2, 2]


def test_nothing_gives_no_groups() -> None:
    assert group_near_duplicates([]).tolist() == []


def test_a_chain_of_small_changes_is_one_group() -> None:
    words = [f"word{letter}{letter}" for letter in "abcdefghijklmnopqrst"]
    chain = [" ".join(words[start : start + 14]) for start in range(4)]
    assert group_near_duplicates(chain).tolist() == [0, 0, 0, 0]


def test_order_does_not_change_who_belongs_together() -> None:
    rng = np.random.default_rng(1)
    texts = [f"{CAMPAIGN} {word}" for word in ("a", "b", "c")]
    texts += [" ".join(rng.choice(list("abcdefgh"), 30)) for _ in range(40)]
    forward = group_near_duplicates(texts)
    order = rng.permutation(len(texts))
    shuffled = group_near_duplicates([texts[at] for at in order])
    for one in range(len(texts)):
        for other in range(one):
            together = forward[order[one]] == forward[order[other]]
            assert together == (shuffled[one] == shuffled[other])


@pytest.mark.parametrize("length", [5_000, 20_000])
def test_a_long_text_with_a_small_change_is_a_near_duplicate(length: int) -> None:
    rng = np.random.default_rng(length)
    text = "".join(rng.choice(list("abcdefghij klmnop"), length))
    other = "".join(rng.choice(list("abcdefghij klmnop"), length))
    assert group_near_duplicates([text, text + " signature", other]).tolist() == [0, 0, 1]


def test_related_rows_share_a_text_or_an_author() -> None:
    rows = [row("hello there my friend", "ann"), row("good night", "ann"), row("good night", "bob")]
    rows += [row("something else entirely", None), row("and another thing", None)]
    assert group_related(rows).tolist() == [0, 0, 0, 1, 2]
