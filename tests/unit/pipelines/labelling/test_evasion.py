"""Verdicts that a disguise turns, and the nearest known evasion; by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import ServiceUnavailable
from data_contracts.events import Event
from data_contracts.verdicts import Verdict
from pipelines.labelling.day_decisions import DECISIONS
from pipelines.labelling.evasion import evasion_similarity, flip_candidates, flip_shares

BLOCKED = Verdict("x", 0.9, "block", (), (), model_version="1", threshold_version="t")
TEXT = "claim the holiday voucher that is waiting for you before it is gone"


class Literal:
    """Blocks what holds the word as it is written; keeps the ids that it saw."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.seen: list[str] = []

    def score(self, events: Sequence[Event]) -> Sequence[Verdict]:
        self.seen += [event.event_id for event in events]
        return [self._verdict(event) for event in events]

    def _verdict(self, event: Event) -> Verdict:
        caught = self.word in event.text
        return replace(BLOCKED, event_id=event.event_id, action="block" if caught else "allow")


class Silent:
    def score(self, events: Sequence[Event]) -> Sequence[Verdict]:
        raise ServiceUnavailable("gateway is down")


def test_the_share_counts_the_disguises_that_are_allowed() -> None:
    event = Event(event_id="a", text=TEXT)
    assert flip_shares([event], Literal(" "), 7)[0] == {"a": 0.0}  # blanks stay in each disguise
    assert flip_shares([event], Literal(TEXT), 7)[0] == {"a": 1.0}


def test_disguises_carry_names_of_their_own_and_the_same_each_time() -> None:
    scorer = Literal("x")
    for _ in range(2):
        flip_shares([Event(event_id="a" * 128, text=TEXT)], scorer, 7)
    half = len(scorer.seen) // 2
    first, second = scorer.seen[:half], scorer.seen[half:]
    assert first == second
    assert len(set(first)) == half >= 3
    assert all(name.startswith("disguised-") and len(name) <= 128 for name in first)


def test_a_text_that_no_disguise_changes_has_no_share() -> None:
    scorer = Literal("x")
    assert flip_shares([Event(event_id="a", text="2026")], scorer, 7) == ({}, None)
    assert scorer.seen == []


def test_without_a_champion_nothing_is_tried_and_that_is_said() -> None:
    shares, gap = flip_shares([Event(event_id="a", text=TEXT)], Silent(), 7)
    assert shares == {}
    assert gap == "no verdict was tried in disguise (gateway is down)"


@pytest.mark.parametrize(("most", "ids"), [(0, []), (1, ["c"]), (9, ["c", "b"])])
def test_candidates_are_acted_on_the_closest_to_the_threshold_first(
    most: int, ids: list[str]
) -> None:
    actions = {"a": (0.2, "allow"), "b": (0.9, "block"), "c": (0.8, "limit")}
    rows = [{"event_id": key, "score": s, "action": a} for key, (s, a) in actions.items()]
    assert flip_candidates(pa.Table.from_pylist(rows, schema=DECISIONS), most) == ids


def test_similarity_is_the_cosine_to_the_nearest_evasion_by_hand() -> None:
    vectors = pa.chunked_array([[[1.0, 0.0], None, [0.6, 0.8]]], pa.list_(pa.float32()))
    evasions = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    found = evasion_similarity(vectors, evasions).to_pylist()
    assert found[0] == pytest.approx(1.0)
    assert found[1] is None
    assert found[2] == pytest.approx(0.8)
    assert evasion_similarity(vectors, np.empty((0, 0), np.float32)).null_count == 3
