"""The black-box attacker, against models whose weakness is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from data_contracts.events import Event
from evaluation.attacks.black_box import Search, Weapon, search
from evaluation.attacks.cost import edits
from evaluation.metrics import Floats

HOW = Search(queries=40, seed=3)


@dataclass(frozen=True)
class Marks:
    """Puts up to `strength` of ten signs of its own behind the text."""

    name: str
    sign: str
    family: str = "characters"

    def applies_to(self, event: Event) -> bool:
        return bool(event.text)

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        count = int(np.ceil(10 * strength * rng.uniform(0.5, 1)))
        return event.model_copy(update={"text": event.text + self.sign * count})


ALL = [Weapon(Marks(name, name), 1.0) for name in "abcdef"]


def events(count: int = 12) -> list[Event]:
    return [Event(event_id=f"e{number}", text="SPAM") for number in range(count)]


def by(sign: str, needed: int):
    """Caught with fewer than `needed` of the sign; the more there are the lower the score."""

    def score(asked: Sequence[Event]) -> Floats:
        return np.array([1 - 0.5 * min(1, e.text.count(sign) / needed) for e in asked])

    return score


def test_the_one_sign_that_a_model_is_blind_to_is_found() -> None:
    outcomes = search(events(), by("d", 5), 0.6, ALL, HOW)
    assert all(outcome.caught and outcome.evasion for outcome in outcomes)
    for clear, outcome in zip(events(), outcomes, strict=True):
        evasion = outcome.evasion
        assert evasion is not None
        assert by("d", 5)([evasion.event])[0] < 0.6
        assert evasion.edits == edits(clear, evasion.event)
        assert evasion.queries <= outcome.queries <= HOW.queries
        assert any(move.attack == "d" for move in evasion.moves)


def test_two_signs_that_evade_only_together_are_found() -> None:
    def score(asked: Sequence[Event]) -> Floats:
        return np.array([1 - 0.25 * (("a" in e.text) + ("e" in e.text)) for e in asked])

    outcomes = search(events(), score, 0.6, ALL, HOW)
    assert sum(outcome.evasion is not None for outcome in outcomes) >= 11


def test_decisions_alone_are_enough_where_one_move_evades() -> None:
    outcomes = search(events(), lambda e: (by("d", 5)(e) >= 0.6).astype(float), 0.5, ALL, HOW)
    assert sum(outcome.evasion is not None for outcome in outcomes) >= 10


def test_thrift_makes_evasions_cheaper_and_leaves_the_first_as_it_was() -> None:
    dear, cheap = (
        search(events(40), by("d", 2), 0.6, ALL, replace(HOW, thrift=thrift)) for thrift in (0, 8)
    )
    first, second = (np.array([o.evasion.edits for o in found]) for found in (dear, cheap))  # type: ignore[union-attr]
    assert (second <= first).all()
    assert second.mean() < first.mean() - 1
    assert [o.evasion.queries for o in dear] == [o.evasion.queries for o in cheap]  # type: ignore[union-attr]


def test_an_outcome_does_not_depend_on_the_batch_or_the_order() -> None:
    together = search(events(), by("d", 5), 0.6, ALL, HOW)
    alone = [search([event], by("d", 5), 0.6, ALL, HOW)[0] for event in events()]
    backward = search(events()[::-1], by("d", 5), 0.6, ALL[::-1], HOW)[::-1]
    assert together == alone == backward
    assert together != search(events(), by("d", 5), 0.6, ALL, replace(HOW, seed=4))


def test_a_round_asks_once_a_message_and_never_more_than_the_budget() -> None:
    sizes: list[int] = []

    def stubborn(asked: Sequence[Event]) -> Floats:
        assert len({event.event_id for event in asked}) == len(asked)
        sizes.append(len(asked))
        return np.ones(len(asked))

    outcomes = search(events(), stubborn, 0.5, ALL, HOW)
    assert sizes == [12] * (1 + HOW.queries)
    assert all(outcome.queries == HOW.queries and not outcome.evasion for outcome in outcomes)


def test_what_is_not_caught_in_the_clear_is_not_attacked() -> None:
    asked = 0

    def lenient(batch: Sequence[Event]) -> Floats:
        nonlocal asked
        asked += len(batch)
        return np.zeros(len(batch))

    outcomes = search(events(), lenient, 0.5, ALL, HOW)
    assert asked == 12
    assert not any(outcome.caught or outcome.queries for outcome in outcomes)


def test_a_message_out_of_reach_costs_no_query_and_is_told_apart() -> None:
    out_of_reach = Event(event_id="e", text="")
    (outcome,) = search([out_of_reach], lambda e: np.ones(len(e)), 0.5, ALL, HOW)
    assert (outcome.caught, outcome.reach, outcome.queries) == (True, False, 0)


def test_an_attack_that_changes_nothing_spends_no_query() -> None:
    (outcome,) = search(events(1), lambda e: np.ones(len(e)), 0.5, [Weapon(Marks("a", ""), 1)], HOW)
    assert (outcome.reach, outcome.queries) == (True, 0)


@pytest.mark.parametrize(("key", "value"), [("queries", 0), ("longest", 0), ("patience", 0)])
def test_a_budget_below_one_is_refused(key: str, value: int) -> None:
    with pytest.raises(ValueError, match=key):
        Search(**{key: value})


def test_a_strength_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"strongest 1\.5"):
        Weapon(Marks("a", "a"), 1.5)
