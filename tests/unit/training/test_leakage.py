"""A label among the features is refused, by its name and by its values."""

from __future__ import annotations

import pytest

from data_contracts.errors import BadInput
from data_contracts.events import ContextValue, Event
from data_contracts.labels import LabelledEvent
from training.leakage import refuse_label_leaks


def _rows(
    key: str, spam: list[ContextValue], ham: list[ContextValue], account: str | None = None
) -> list[LabelledEvent]:
    labelled = [(value, "spam") for value in spam] + [(value, "ham") for value in ham]
    return [
        LabelledEvent(
            Event(
                event_id=f"e{number}",
                text="hi",
                account=account,
                context={} if value is None else {key: value},
            ),
            label,  # type: ignore[arg-type]
            "set",
        )
        for number, (value, label) in enumerate(labelled)
    ]


@pytest.mark.parametrize("name", ["label", "is_spam", "Label", "ground_truth", "y"])
def test_a_context_field_that_is_named_like_the_label_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=rf"file\.jsonl: context\.{name} .*remove"):
        refuse_label_leaks(_rows(name, [1, 0], [0, 1]), "file.jsonl")


@pytest.mark.parametrize(
    ("spam", "ham"),
    [
        ([1] * 20, [0] * 20),
        (["yes"] * 20, ["no"] * 20),
        ([True] * 20, [None] * 20),
        ([0.9 + i / 1000 for i in range(20)], [i / 1000 for i in range(20)]),
    ],
)
def test_a_field_that_tells_the_labels_apart_is_refused_whatever_its_name(
    spam: list[ContextValue], ham: list[ContextValue]
) -> None:
    with pytest.raises(BadInput, match=r"context\.target tells spam from ham"):
        refuse_label_leaks(_rows("target", spam, ham), "set")


@pytest.mark.parametrize(
    ("spam", "ham"),
    [
        ([f"id{i}" for i in range(20)], [f"id{i}" for i in range(20, 40)]),
        (["a", "b"] * 10, ["b", "a"] * 10),
        (list(range(20)), list(range(5, 25))),
        ([None] * 20, [None] * 20),
    ],
)
def test_an_honest_field_passes(spam: list[ContextValue], ham: list[ContextValue]) -> None:
    refuse_label_leaks(_rows("target", spam, ham), "set")


def test_an_account_that_is_the_label_is_refused() -> None:
    rows = _rows("a", [None] * 20, [None] * 20)
    told = [
        LabelledEvent(row.event.model_copy(update={"account": row.label}), row.label, "set")
        for row in rows
    ]
    with pytest.raises(BadInput, match="account tells spam from ham"):
        refuse_label_leaks(told, "set")


def test_a_set_of_one_label_gives_nothing_away() -> None:
    refuse_label_leaks(_rows("kind", [1] * 20, []), "set")
