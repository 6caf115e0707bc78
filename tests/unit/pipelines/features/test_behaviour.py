"""Behaviour of accounts and devices, on histories short enough to work out by hand."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from data_contracts.actions import Action
from data_contracts.events import ContextValue, Event, MediaReference
from pipelines.feature_store.lmdb import LmdbStates
from pipelines.feature_store.states import MemoryStates
from pipelines.features.behaviour.extraction import FAMILIES, BehaviourExtractor
from pipelines.features.behaviour.packing import Packing
from pipelines.features.behaviour.rhythm import entropy_bits, is_night, most_within
from pipelines.features.behaviour.state import Account, BehaviourState, Shared
from pipelines.features.media.base import MediaReader

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1),
)  # fmt: skip


def post(
    account: str | None = "ann",
    at: datetime | None = NOON,
    text: str = "hello",
    media: tuple[str, ...] = (),
    **context: ContextValue,
) -> Event:
    files = tuple(
        MediaReference(kind="image", sha256=name * 64, path=f"{name}.png") for name in media
    )
    return Event(
        event_id="e", account=account, occurred_at=at, text=text, media=files, context=context
    )


def after(*happened: Event | Action) -> BehaviourState:
    state = BehaviourState(MemoryStates())
    for one in happened:
        if isinstance(one, Action):
            state.observe_action(one)
        else:
            state.observe_event(one)
    return state


def test_an_unknown_account_has_no_rhythm_and_no_company() -> None:
    found = after().features(post(device="phone"))
    assert found["posts_seen_log"] == 0
    assert found["device_accounts_week"] == 0
    assert not {"interval_mean_log", "since_last_log", "night_share", "account_age_days"} & set(
        found
    )


def test_an_event_is_not_part_of_its_own_past() -> None:
    state = after()
    assert state.features(post()) == state.features(post())
    state.observe_event(post())
    assert state.features(post(at=NOON + SECOND))["posts_seen_log"] == math.log(2)


def test_an_event_without_a_time_has_no_past_and_leaves_none() -> None:
    assert after().features(post(at=None)) == {}
    assert after(post(at=None)).features(post()) == after().features(post())


def test_an_event_without_an_account_tells_its_profile_only() -> None:
    found = after().features(post(None, followers=3, following=3, has_avatar=True))
    assert found["has_avatar"] == 1
    assert found["follower_ratio"] == 0
    assert "posts_seen_log" not in found


def test_the_age_is_counted_from_what_the_platform_says() -> None:
    created = (NOON - 10 * DAY).isoformat()
    state = after(post(at=NOON - DAY, account_created_at=created))
    found = state.features(post())
    assert (found["account_age_days"], found["first_seen_days"]) == (10.0, 1.0)


@pytest.mark.parametrize("bad", ["yesterday", "0001-01-01T00:00:00+14:00", 5, None, "9" * 400])
def test_a_signal_that_makes_no_sense_is_absent(bad: ContextValue) -> None:
    found = after().features(
        post(account_created_at=bad, followers=10**400, utc_offset_minutes=bad)
    )
    assert "account_age_days" not in found or found["account_age_days"] >= 0
    assert "followers_log" not in found


def test_a_clockwork_account_has_regular_intervals_without_entropy() -> None:
    found = after(*(post(at=NOON + n * MINUTE) for n in range(5))).features(
        post(at=NOON + 5 * MINUTE)
    )
    assert found["interval_mean_log"] == math.log1p(60)
    assert (found["interval_cv"], found["interval_entropy"]) == (0, 0)
    assert found["interval_regularity"] == 1
    assert (found["most_in_minute"], found["most_in_ten_minutes"]) == (2, 5)


def test_entropy_is_two_bits_for_four_kinds_of_interval() -> None:
    second = 1_000_000
    assert entropy_bits([second, 2 * second, 4 * second, 8 * second]) == 2.0


def test_a_burst_is_the_most_posts_in_any_window() -> None:
    assert most_within([], 10) == 0
    assert most_within([0, 100, 105, 110, 300], 10) == 3


def test_posts_fade_by_e_in_an_hour() -> None:
    found = after(post()).features(post(at=NOON + HOUR))
    assert found["posts_hour"] == pytest.approx(math.exp(-1))
    assert found["posts_day"] == pytest.approx(math.exp(-1 / 24))


def test_night_is_midnight_to_six_where_the_account_is() -> None:
    noon = 12 * 3_600_000_000
    assert not is_night(noon, 0)
    assert is_night(noon, 13 * 60)
    assert is_night(noon, -9 * 60)
    history = [post(utc_offset_minutes=0), post(at=NOON + HOUR, utc_offset_minutes=720)]
    assert after(*history).features(post(at=NOON + DAY))["night_share"] == 0.5


def test_a_late_event_does_not_see_posts_that_are_ahead_of_it() -> None:
    state = after(*(post(at=NOON + n * MINUTE) for n in range(10)))
    found = state.features(post(at=NOON + MINUTE))
    assert found["most_in_ten_minutes"] == 2
    assert found["since_last_log"] == 0


def test_follows_are_counted_from_both_sides_and_reciprocity_is_of_the_latest() -> None:
    state = after(
        Action("ann", "follow", "bob", NOON),
        Action("ann", "follow", "cid", NOON),
        Action("ann", "follow", "cid", NOON),
        Action("bob", "follow", "ann", NOON),
    )
    found = state.features(post(at=NOON + SECOND))
    assert found["reciprocity"] == 0.5
    assert (found["out_degree_log"], found["in_degree_log"]) == (math.log1p(2), math.log1p(1))
    assert found["follower_ratio"] == math.log1p(1) - math.log1p(2)
    state.observe_action(Action("ann", "unfollow", "cid", NOON + SECOND))
    assert state.features(post(at=NOON + 2 * SECOND))["reciprocity"] == 1


def test_the_word_of_the_platform_counts_before_our_own_count() -> None:
    found = after(Action("ann", "follow", "bob", NOON)).features(post(following=9))
    assert found["following_log"] == math.log(10)


def test_neighbours_are_those_that_the_account_chose() -> None:
    state = after(
        Action("ann", "follow", "bob", NOON),
        Action("ann", "like", "cid", NOON),
        Action("eve", "follow", "ann", NOON),
        Action("platform", "confirmed_spam", "bob", NOON),
        Action("dan", "report", "cid", NOON),
        Action("platform", "confirmed_spam", "eve", NOON),
    )
    found = state.features(post(at=NOON + SECOND))
    assert found["neighbour_spam_share"] == 0.5
    assert found["neighbour_reported_share"] == 0.5


def test_engagement_is_per_post_seen() -> None:
    state = after(
        post(),
        post(at=NOON + SECOND),
        Action("bob", "like", "ann", NOON + MINUTE),
        Action("bob", "view", "ann", NOON + MINUTE),
        Action("cid", "view", "ann", NOON + MINUTE),
        Action("cid", "report", "ann", NOON + MINUTE),
        Action("ann", "reply", "bob", NOON + MINUTE),
    )
    found = state.features(post(at=NOON + MINUTE))
    assert (found["likes_per_post"], found["views_per_post"]) == (0.5, 1.0)
    assert (found["given_day"], found["reports_per_post"]) == (1.0, 0.5)
    assert "likes_per_post" not in state.features(post("bob", NOON + MINUTE))


def test_a_shared_device_tells_of_its_other_accounts() -> None:
    young = (NOON - 2 * DAY).isoformat()
    state = after(
        post("old", NOON - 8 * DAY, device="phone"),
        post("bob", NOON - 2 * DAY, device="phone"),
        post("cid", NOON - 30 * SECOND, device="phone", account_created_at=young),
        post("ann", NOON, device="phone"),
        Action("platform", "confirmed_spam", "cid", NOON),
    )
    found = state.features(post("ann", NOON, device="phone"))
    assert (found["device_accounts_day"], found["device_accounts_week"]) == (1, 2)
    assert found["device_spam_share"] == 0.5
    assert found["device_youngest_days"] == 2
    assert found["device_synchrony"] == 0.5
    assert found["account_devices"] == 1


def test_a_post_from_another_device_is_seen_at_once() -> None:
    state = after(post("ann", NOON, device="phone"))
    moved = state.features(post("ann", NOON + MINUTE, device="laptop"))
    assert moved["account_devices"] == 2


def test_an_action_puts_its_account_on_the_device() -> None:
    state = after(Action("bob", "like", "cid", NOON, device="phone"))
    assert state.features(post("ann", NOON, device="phone"))["device_accounts_day"] == 1


def test_a_text_is_the_same_without_its_digits_signs_and_case() -> None:
    state = after(post(text="Win £500 now!"), post(text="something else"))
    found = state.features(post(text="win 900 NOW"))
    assert (found["same_text_share"], found["repeated_text_share"]) == (0.5, 0.0)
    assert "same_text_share" not in state.features(post(text="12345"))


def test_media_repeat_by_their_content() -> None:
    state = after(post(media=("a", "b")), post(media=("a",)))
    found = state.features(post(media=("a",)))
    assert found["same_media_share"] == pytest.approx(2 / 3)
    assert found["repeated_media_share"] == pytest.approx(1 / 3)


def test_state_stays_bounded_however_long_the_history() -> None:
    class Measured(MemoryStates):
        largest: ClassVar[dict[str, int]] = {}

        def put(self, key: str, state: bytes) -> None:
            assert len(key) < 32
            kind = key.split(":")[0]
            self.largest[kind] = max(self.largest.get(kind, 0), len(state))
            super().put(key, state)

    states = Measured()
    state = BehaviourState(states)
    for n in range(400):
        at = NOON + n * MINUTE
        state.observe_event(
            post(f"account {n % 60}", at, f"text {chr(97 + n % 26)}", device="farm")
        )
        state.observe_event(post("busy", at, f"{chr(97 + n % 26)}", ("a", "b"), device=f"{n}"))
        state.observe_action(Action("busy", "follow", f"other {n}", at))
        state.observe_action(Action(f"other {n}", "follow", "busy", at))
    assert states.largest == {"account": 1360, "standing": 33, "device": 1029}


def test_with_every_signal_and_a_full_history_every_feature_is_known() -> None:
    signals: dict[str, ContextValue] = {
        "account_created_at": "2025-01-01", "followers": 2, "following": 3, "posts": 4,
        "verified": False, "has_avatar": True, "bio_length": 5, "device": "phone",
        "utc_offset_minutes": -60,
    }  # fmt: skip
    posts = [post(at=NOON + n * MINUTE, media=("a",), **signals) for n in range(4)]
    other, follow = post("bob", device="phone"), Action("ann", "follow", "bob", NOON)
    state = after(other, follow, *posts)
    found = state.features(post(at=NOON + HOUR, media=("a",), **signals))
    assert set(found) == set(BehaviourExtractor.names)


def test_packing_gives_back_what_it_got_and_refuses_anything_else() -> None:
    packing = Packing(Account())
    account = Account().posted(post(media=("a",)), 5).on(7).did("follow", 9, 5)
    packed = packing.pack(account)
    assert packing.unpack(packed) == account
    for broken in (b"", packed[:-1], packed + b"\0", b"\2" + packed[1:]):
        with pytest.raises(ValueError, match="state of"):
            packing.unpack(broken)
    assert Packing(Shared()).unpack(Packing(Shared()).pack(Shared())) == Shared()


def test_corrupt_state_counts_as_unknown_and_is_counted() -> None:
    class Corrupt(MemoryStates):
        def get(self, key: str) -> bytes | None:
            return b"not a state"

    state = BehaviourState(Corrupt())
    found = state.features(post(device="phone"))
    assert found == after().features(post(device="phone"))
    assert state.corrupt == 3


def test_a_store_on_disk_gives_the_same_to_the_last_bit_after_a_restart(tmp_path: Path) -> None:
    history = [post(at=NOON + n * MINUTE * 1.37, device="phone") for n in range(20)]
    for part in (history[:10], history[10:]):
        with LmdbStates(tmp_path) as states:
            online = BehaviourState(states)
            for event in part:
                online.observe_event(event)
            answer = online.features(post(at=NOON + HOUR))
    assert answer == after(*history).features(post(at=NOON + HOUR))


def test_the_extractor_reads_its_keys_and_leaves_the_rest_unknown(reader: MediaReader) -> None:
    extractor = BehaviourExtractor({}, reader)
    event = post(**{"behaviour.posts_hour": 2.5, "behaviour.verified": "?", "followers": 3})
    columns = dict(zip(extractor.names, extractor.extract(event).columns, strict=True))
    assert columns["posts_hour"] == 2.5
    assert np.isnan(columns["verified"])
    assert extractor.is_present(event)
    assert not extractor.is_present(post(followers=3))


def test_every_feature_belongs_to_a_family_once() -> None:
    names = [name for family in FAMILIES.values() for name in family]
    assert len(names) == len(set(names)) == len(BehaviourExtractor.names)
    assert set(BehaviourExtractor.families) == set(names)


@pytest.fixture
def reader() -> MediaReader:
    return None  # type: ignore[return-value]
