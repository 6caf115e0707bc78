"""The flood breaker: when it opens, when it must not, and what a reviewer makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.flood_breaker import (
    TRANSITIONS,
    Crowd,
    Entry,
    FloodBreaker,
    Limits,
    Recheck,
    Sighting,
    flood,
    open_flood_breaker,
)
from pipelines.hash_bank import KnownHash, open_hash_bank

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ENTRY = Entry("pdq", "ab" * 32)
LIMITS = Limits(established_accounts=3, crowd=6)
OLD, YOUNG = timedelta(days=400), timedelta(days=2)


def seen(account: str, age: timedelta | None = OLD, minute: float = 0.0) -> Sighting:
    return Sighting(ENTRY, account, age, NOON + timedelta(minutes=minute))


def notice_all(breaker: FloodBreaker, count: int, age: timedelta) -> list[str]:
    return [breaker.notice(seen(f"{age.days}-{n}", age, n)) for n in range(count)]


def test_the_breaker_opens_at_the_third_established_account(state_url: str) -> None:
    breaker = open_flood_breaker(state_url, LIMITS)
    assert notice_all(breaker, 4, OLD) == ["closed", "closed", "open", "open"]
    assert not breaker.acts(ENTRY)
    reason = "matched 3 established accounts of 3"
    assert breaker.rechecks() == [Recheck(ENTRY, reason, NOON + timedelta(minutes=2))]


def test_a_campaign_of_young_accounts_with_a_few_bought_ones_stays_caught(state_url: str) -> None:
    breaker = open_flood_breaker(state_url, LIMITS)
    notice_all(breaker, 4, YOUNG)
    assert notice_all(breaker, 3, OLD)[-1] == "closed"
    assert breaker.notice(seen("unknown", None, 9)) == "closed"
    assert breaker.acts(ENTRY)


def test_one_account_counts_once_however_often_it_posts(state_url: str) -> None:
    breaker = open_flood_breaker(state_url, LIMITS)
    for minute in range(20):
        assert breaker.notice(seen("ana", OLD, minute)) == "closed"


def test_a_match_from_before_the_window_counts_no_more(state_url: str) -> None:
    breaker = open_flood_breaker(state_url, LIMITS)
    breaker.notice(seen("ana"))
    breaker.notice(seen("ben"))
    assert breaker.notice(seen("cyd", minute=24 * 60 + 1)) == "closed"


def test_only_the_latest_accounts_are_remembered(state_url: str) -> None:
    breaker = open_flood_breaker(state_url, LIMITS)
    notice_all(breaker, 50, YOUNG)
    crowd = [breaker.notice(seen(f"old{n}", OLD, 60 + n)) for n in range(3)]
    assert crowd == ["closed", "closed", "open"]  # 3 of the latest 6, not of 53


def test_a_confirmed_hash_acts_again_and_no_crowd_opens_it(state_url: str) -> None:
    breaker = open_flood_breaker(state_url, LIMITS)
    notice_all(breaker, 3, OLD)
    assert breaker.confirm(ENTRY, "ana", NOON + timedelta(hours=1)) == "confirmed"
    assert breaker.confirm(ENTRY, "ben", NOON + timedelta(hours=2)) == "confirmed"
    assert notice_all(breaker, 9, OLD)[-1] == "confirmed"
    assert breaker.acts(ENTRY)
    assert breaker.rechecks() == []
    assert breaker.doubt(ENTRY, "cyd", NOON + timedelta(hours=3), "an appeal") == "open"


def test_a_removed_hash_leaves_the_bank_and_the_state_survives_a_restart(state_url: str) -> None:
    bank = open_hash_bank(state_url)
    bank.add(KnownHash("pdq", ENTRY.value, "bad", "report", "ana", NOON))
    breaker = open_flood_breaker(state_url, LIMITS)
    notice_all(breaker, 3, OLD)
    reopened = open_flood_breaker(state_url, LIMITS)
    assert reopened.state(ENTRY) == "open"
    for _ in range(2):
        assert reopened.remove(ENTRY, "ben", NOON + timedelta(hours=1)) == "removed"
    assert bank.find("pdq", ENTRY.value) is None
    with pytest.raises(ValueError, match="is removed, from where doubt is no step"):
        reopened.doubt(ENTRY, "ben", NOON, "why")


def test_the_state_is_told_as_it_was_before_a_moment(state_url: str) -> None:
    breaker = open_flood_breaker(state_url, LIMITS)
    notice_all(breaker, 3, OLD)
    opened = NOON + timedelta(minutes=2)
    assert breaker.state(ENTRY, opened) == "closed"  # the match that opened it had acted
    assert breaker.state(ENTRY, opened + timedelta(microseconds=1)) == "open"


def test_every_step_leads_to_a_state_that_a_reviewer_can_leave() -> None:
    states = set(TRANSITIONS.values())
    assert states == {"open", "confirmed", "removed"}
    assert all(any(before == state for before, _ in TRANSITIONS) for state in states)


def test_a_crowd_that_is_mostly_young_is_no_flood_at_any_size() -> None:
    for accounts in (21, 200, 5000):
        assert flood(Crowd(accounts, accounts // 2 - 1), Limits()) is None
        assert flood(Crowd(accounts, accounts // 2 + 1), Limits()) is not None
