"""The store: its table of states, its decisions, and what they may not do; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from pipelines.labelling.appeal_records import Appeal, AppealRefused, Contested
from pipelines.labelling.appeal_tables import (
    APPEAL_STATES,
    APPEAL_TRANSITIONS,
    APPEALS,
    CLOSED,
    EFFECTS,
)
from pipelines.labelling.appeals import AppealStore
from pipelines.state import open_state
from tests.appeal_cases import LIMITS, NOW

ABOUT = Contested(
    "e1", 0, "a" * 64, "block", 0.98, ("wording_of_spam",), "en", "text", "7", "t-1",
    NOW - timedelta(hours=1),
)  # fmt: skip


@pytest.fixture
def store(state_url: str) -> Iterator[AppealStore]:
    engine = open_state(state_url)
    store = AppealStore(engine, LIMITS)
    store.prepare()
    yield store
    engine.dispose()


def _under_review(store: AppealStore) -> str:
    appeal, _ = store.submit(ABOUT, "please", NOW)
    return store.take(appeal.id, "rae", NOW).id


def test_what_is_closed_stays_closed() -> None:
    assert all(before not in CLOSED for before, _ in APPEAL_TRANSITIONS)
    assert set(APPEAL_TRANSITIONS.values()) == set(APPEAL_STATES)


def test_no_step_but_a_persons_upholds() -> None:
    upholding = [step for step, after in APPEAL_TRANSITIONS.items() if after == "upheld"]
    assert upholding == [("under_review", "uphold")]
    assert "grant" not in EFFECTS, "a remedy's word is neither label nor golden case"


def test_an_appeal_is_kept_as_it_was_submitted(store: AppealStore) -> None:
    appeal, is_new = store.submit(ABOUT, "please", NOW)
    assert is_new
    assert store.find(appeal.id) == appeal
    assert (appeal.contested, appeal.state, appeal.statement) == (ABOUT, "submitted", "please")
    assert appeal.due_at == NOW + LIMITS.review
    assert store.submit(ABOUT, "again", NOW) == (appeal, False)


def test_a_later_verdict_about_the_event_may_be_appealed_as_well(store: AppealStore) -> None:
    first, _ = store.submit(ABOUT, "please", NOW)
    second, is_new = store.submit(replace(ABOUT, revision=1), "please", NOW)
    assert is_new
    assert {first.id, second.id} == {one.id for one in store.of_events(["e1"])}


def test_a_decision_and_what_it_owes_stand_together(store: AppealStore) -> None:
    appeal = store.decide(_under_review(store), "overturn", "rae", "fine", NOW)
    assert (appeal.state, appeal.closed_at, appeal.why) == ("overturned", NOW, "fine")
    owed = [(one.id, effect) for one, effect in store.duties()]
    assert owed == [(appeal.id, effect) for effect in ("golden_case", "label", "reversal")]
    store.fulfil(appeal, "label", "ham", NOW)
    store.fulfil(appeal, "label", "again", NOW)
    assert store.effects(appeal.id) == {"golden_case": "", "label": "ham", "reversal": ""}


def test_a_decision_needs_a_reason(store: AppealStore) -> None:
    appeal = _under_review(store)
    for why in ("", "  ", "x" * 501):
        with pytest.raises(ValueError, match="why has"):
            store.decide(appeal, "uphold", "rae", why, NOW)


def test_only_its_holder_decides(store: AppealStore) -> None:
    appeal = _under_review(store)
    with pytest.raises(AppealRefused, match="not held by sol"):
        store.decide(appeal, "uphold", "sol", "x", NOW)


def test_a_remedy_grants_what_nobody_looks_at(store: AppealStore) -> None:
    granted = store.grant(ABOUT, "remedy r", "wrong", NOW)
    assert (granted.state, granted.origin, granted.reviewer) == ("overturned", "remedy", "remedy r")
    assert store.grant(ABOUT, "remedy r", "wrong", NOW) == granted
    assert store.duties() == []
    assert store.closed_since(NOW) == []
    assert store.decided_by_people(["e1"]) == {}


def test_a_remedy_overrules_no_person(store: AppealStore) -> None:
    appeal = _under_review(store)
    assert store.grant(ABOUT, "remedy r", "wrong", NOW).state == "under_review"
    store.decide(appeal, "uphold", "rae", "it is spam", NOW)
    assert store.grant(ABOUT, "remedy r", "wrong", NOW).state == "upheld"
    assert store.decided_by_people(["e1", "e2"]) == {"e1": "upheld"}


def test_a_remedy_takes_an_appeal_whose_reviewer_let_the_lease_run_out(store: AppealStore) -> None:
    _under_review(store)
    later = NOW + LIMITS.lease + timedelta(seconds=1)
    assert store.grant(ABOUT, "remedy r", "wrong", later).state == "overturned"


def test_a_remedys_appeals_do_not_count_against_the_account(store: AppealStore) -> None:
    for number in range(LIMITS.per_account_per_day):
        store.grant(replace(ABOUT, event_id=f"g{number}"), "remedy r", "wrong", NOW)
    assert store.submit(ABOUT, "please", NOW)[1]


def test_steps_that_the_table_does_not_have_are_refused_and_change_nothing(
    store: AppealStore,
) -> None:
    allowed = {("submitted", "take"), ("submitted", "withdraw"), ("under_review", "withdraw"),
               ("withdrawn", "withdraw")}  # fmt: skip
    for state, step in product(APPEAL_STATES, ("take", "decide", "withdraw")):
        about = replace(ABOUT, event_id=f"{state}-{step}", account=f"{state}-{step}")
        appeal, _ = store.submit(about, "please", NOW)
        with store._engine.begin() as connection:
            row = APPEALS.update().where(APPEALS.c.id == appeal.id)
            connection.execute(row.values(state=state, reviewer="sol"))
        if (state, step) in allowed:
            _ask(store, step, appeal)
            continue
        with pytest.raises(AppealRefused):
            _ask(store, step, appeal)
        after = store.find(appeal.id)
        assert after is not None
        assert after.state == state


def _ask(store: AppealStore, step: str, appeal: Appeal) -> object:
    if step == "take":
        return store.take(appeal.id, "rae", NOW)
    if step == "decide":
        return store.decide(appeal.id, "uphold", "rae", "x", NOW)
    return store.withdraw(appeal.id, appeal.contested.account, NOW)
