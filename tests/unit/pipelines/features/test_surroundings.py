"""An event's surroundings: what came before it counts, what comes later does not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import log1p
from pathlib import Path

import numpy as np
import pytest

from data_contracts.events import ContextValue, Event, MediaReference
from pipelines.feature_store.states import MemoryStates
from pipelines.features.media.base import DecodedImage, DecodedVideo, Unreadable
from pipelines.features.media.hashes import Pixels, image_hashes
from pipelines.features.surroundings.extraction import PREFIX, SurroundingsExtractor
from pipelines.features.surroundings.recognition import Recognition
from pipelines.features.surroundings.state import SurroundingsState
from pipelines.features.surroundings.trails import KEPT
from pipelines.flood_breaker import Limits, open_flood_breaker
from pipelines.hash_bank import KnownHash, open_hash_bank
from pipelines.known_media import KnownMedia

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)  # a Monday
OFFER = "Limited offer: collect your prize before midnight at www.prize.example.com today"


class Pictures:
    """Media in memory by sha256; what is not there cannot be read."""

    def __init__(self, pictures: Mapping[str, Pixels]) -> None:
        self.pictures = pictures

    def image(self, reference: MediaReference) -> DecodedImage | Unreadable:
        rgb = self.pictures.get(reference.sha256)
        if rgb is None:
            return Unreadable("image_truncated")
        return DecodedImage(rgb, rgb.shape[1], rgb.shape[0], "PNG", 1)

    def video(self, reference: MediaReference) -> DecodedVideo | Unreadable:
        return Unreadable("video_truncated")

    def content(self, reference: MediaReference) -> bytes | Unreadable:
        return Unreadable("media_absent")


def post(
    minutes: float | None = 0,
    text: str = "",
    account: str | None = "ana",
    media: tuple[str, ...] = (),
    **context: ContextValue,
) -> Event:
    return Event(
        event_id=f"{account} {minutes}",
        text=text,
        account=account,
        occurred_at=None if minutes is None else NOON + timedelta(minutes=minutes),
        media=tuple(MediaReference(kind="image", sha256=name, path="p") for name in media),
        context=context,
    )


def after(events: list[Event], event: Event, pictures: Pictures | None = None) -> dict[str, float]:
    state = SurroundingsState(MemoryStates())
    for earlier in events:
        state.observe(earlier, pictures)
    return state.features(event, pictures)


def blocks(seed: int) -> Pixels:
    colours = np.random.default_rng(seed).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    return np.kron(colours, np.ones((16, 16, 1), np.uint8))


def test_local_time_is_told_where_the_account_is() -> None:
    found = after([], post(utc_offset_minutes=-540))  # 3 at night
    assert found["hour_sin"] == pytest.approx(0.7071, abs=1e-4)
    assert found["hour_cos"] == pytest.approx(0.7071, abs=1e-4)
    assert (found["is_night"], found["is_weekend"]) == (1, 0)
    assert after([], post(60 * 24 * 5, utc_offset_minutes=0))["is_weekend"] == 1
    assert "is_night" not in after([], post())
    assert "is_night" not in after([], post(utc_offset_minutes=9999))


def test_platform_signals_are_those_that_were_sent() -> None:
    found = after([], post(client="api", verified=False, views=100, likes=3, reports=1))
    assert (found["client_api"], found["client_web"], found["is_verified"]) == (1, 0, 0)
    assert found["views_log"] == pytest.approx(log1p(100))
    assert (found["likes_per_view"], found["reports_per_view"]) == (0.03, 0.01)
    assert after([], post(views=0, likes=1)).keys() == {"views_log", "likes_log"} | (
        after([], post()).keys()
    )


def test_an_accounts_countries_are_counted_from_its_earlier_posts() -> None:
    history = [post(n, ip_country=country) for n, country in enumerate(["DE", "DE", "DE", "FR"])]
    found = after(history, post(9, country="DE", ip_country="BR"))
    assert (found["country_differs"], found["country_share"], found["countries"]) == (1, 0, 2)
    assert after(history, post(9, ip_country="de"))["country_share"] == 0.75
    assert "country_share" not in after(history, post(9, account="ben", ip_country="DE"))


def test_the_same_text_elsewhere_is_counted_by_hand() -> None:
    earlier = [
        post(-1500, OFFER, "early", target="a"),  # beyond a day
        post(-90, OFFER, "ben", target="a"),
        post(-30, OFFER.upper(), "ben", target="b"),
        post(-20, OFFER, "cyd", target="b"),
        post(-10, "something else altogether", "dan", target="c"),
    ]
    found = after(earlier, post(0, OFFER))
    names = [f"text_{what}_{span}" for what in ("posts", "accounts") for span in ("hour", "day")]
    assert [found[name] for name in names] == [2, 3, 2, 2]
    assert (found["text_targets_hour"], found["text_targets_day"]) == (1, 2)
    assert found["text_first_hours_log"] == pytest.approx(log1p(25))
    assert found["domain_posts_day"] == 3


def test_near_texts_count_where_equal_ones_do_not() -> None:
    found = after([post(-5, OFFER.replace("midnight", "midday"), "ben")], post(0, OFFER))
    assert (found["text_posts_day"], found["near_text_posts_day"]) == (0, 1)
    assert (
        after([post(-5, "see you at the station", "ben")], post(0, OFFER))["near_text_posts_day"]
        == 0
    )


def test_an_edited_image_counts_as_near_and_an_unreadable_one_as_a_file_only() -> None:
    names = [digit * 64 for digit in "abcd"]
    dark = (blocks(1) * 0.9).astype(np.uint8)
    pictures = Pictures({names[0]: blocks(1), names[1]: dark, names[2]: blocks(2)})
    history = [post(-9, "", "ben", (names[0],)), post(-8, "", "cyd", (names[2],))]
    found = after(history, post(0, "", media=(names[1],)), pictures)
    assert (found["file_posts_day"], found["near_image_posts_day"]) == (0, 1)
    again = after(history, post(0, "", media=(names[3],)), pictures)
    assert again["file_posts_day"] == 0
    assert "near_image_posts_day" not in again


def test_a_word_that_everybody_starts_to_use_rises_and_a_steady_one_does_not() -> None:
    steady = [post(10 * n, "coffee and morning", f"a{n}") for n in range(-1000, 0)]
    sudden = [post(-15 + n / 10, "airdrop and morning", f"b{n}") for n in range(40)]
    found = after([*steady, *sudden], post(0, "airdrop", account="zoe"))
    assert found["words_rise"] > 5
    assert after([*steady, *sudden], post(0, "morning", account="zoe"))["words_rise"] < 1


def test_nothing_of_the_future_enters_a_feature() -> None:
    """The leak is planted: the same content, account and words, posted later, observed before."""
    name = "a" * 64
    pictures = Pictures({name: blocks(1)})
    now = post(0, OFFER, "ana", (name,), ip_country="DE", target="t")
    past = [
        post(-40 * n, OFFER, f"b{n}", (name,), ip_country="DE", target="t") for n in range(1, 9)
    ]
    past.append(post(-60, "", "ana", ip_country="DE"))
    later = [
        post(minute, OFFER, account, (name,), ip_country="FR", target="u")
        for minute in (0.01, 3, 9)
        for account in ("ana", "eve")
    ]
    clean, leaked = after(past, now, pictures), after([*past, *later], now, pictures)
    assert clean["near_image_posts_day"] == 8
    assert clean["words_rise"] == leaked["words_rise"]
    assert clean == leaked


def test_a_much_later_event_silences_trends_and_leaks_nothing_else() -> None:
    past = [post(-40 * n, OFFER, f"b{n}") for n in range(1, 9)]
    now = post(0, OFFER)
    clean, late = after(past, now), after([*past, post(300, OFFER, "eve")], now)
    assert clean.keys() - late.keys() == {"words_rise", "words_rise_mean", "domain_rise"}
    assert late == {name: clean[name] for name in late}


def test_state_is_bounded_for_each_content() -> None:
    states = MemoryStates()
    state = SurroundingsState(states)
    for n in range(3 * KEPT):
        state.observe(post(n, OFFER, f"a{n}"), None)
    assert state.features(post(3 * KEPT, OFFER), None)["text_posts_day"] == KEPT
    assert max(len(packed) for packed in states._states.values()) <= 8 + 16 * KEPT


def test_the_same_events_give_the_same_state_bytes() -> None:
    def folded() -> dict[str, bytes]:
        states = MemoryStates()
        state = SurroundingsState(states)
        for n in range(20):
            event = post(n, f"{OFFER} {'very ' * (n % 4)}", f"a{n % 3}", ip_country="DE")
            state.features(event, None)
            state.observe(event, None)
        return states._states

    assert folded() == folded()


def test_an_event_without_a_time_has_only_what_it_says_itself() -> None:
    found = after([post(-5, OFFER, "ben")], post(None, OFFER, client="web", ip_country="DE"))
    assert set(found) == {"client_web", "client_ios", "client_android", "client_api"}


def test_a_known_image_acts_until_its_breaker_opens(tmp_path: Path) -> None:
    url, name = f"sqlite:///{tmp_path}/state.sqlite", "a" * 64
    bank = open_hash_bank(url)
    value = image_hashes(blocks(1)).pdq
    bank.add(KnownHash("pdq", value, "bad", "report", "ana", NOON - timedelta(days=1)))
    breaker = open_flood_breaker(url, Limits(established_accounts=2))
    state = SurroundingsState(MemoryStates(), Recognition(KnownMedia.of(bank), breaker))
    pictures, born = Pictures({name: blocks(1)}), "2024-01-01T00:00:00+00:00"
    acted = []
    for n in range(4):
        event = post(n, "", f"a{n}", (name,), account_created_at=born)
        found = state.features(event, pictures)
        state.observe(event, pictures)
        acted.append((found["known_bad"], found["known_bad_in_review"], found["bad_bits"]))
    assert acted == [(1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 1, 0)]
    assert state.features(post(1, "", "a1", (name,)), pictures)["known_bad"] == 1  # as it was


@pytest.mark.parametrize("born", ["never", "9999-01-01", "2026-01-05", 5, None])
def test_an_account_of_unknown_birth_is_not_established(tmp_path: Path, born: ContextValue) -> None:
    url, name = f"sqlite:///{tmp_path}/state.sqlite", "a" * 64
    bank = open_hash_bank(url)
    value = image_hashes(blocks(1)).pdq
    bank.add(KnownHash("pdq", value, "bad", "report", "ana", NOON))
    breaker = open_flood_breaker(url, Limits(established_accounts=1))
    state = SurroundingsState(MemoryStates(), Recognition(KnownMedia.of(bank), breaker))
    pictures = Pictures({name: blocks(1)})
    state.observe(post(1, "", "a", (name,), account_created_at=born), pictures)
    assert breaker.rechecks() == []


def test_the_extractor_reads_what_enrichment_wrote_and_leaves_the_rest_unknown() -> None:
    extractor = SurroundingsExtractor({}, Pictures({}))
    assert not extractor.is_present(post(0, OFFER, client="web"))
    written = {f"{PREFIX}text_posts_day": 3, f"{PREFIX}is_night": True, f"{PREFIX}known_bad": "x"}
    event = post(0).model_copy(update={"context": written})
    columns = dict(zip(extractor.names, extractor.extract(event).columns.tolist(), strict=True))
    assert extractor.is_present(event)
    assert (columns["text_posts_day"], columns["is_night"]) == (3, 1)
    assert np.isnan([columns["known_bad"], columns["words_rise"]]).all()


def test_every_feature_has_a_column_and_every_column_a_family() -> None:
    name = "a" * 64
    pictures = Pictures({name: blocks(1)})
    signals: dict[str, ContextValue] = {
        "utc_offset_minutes": 60, "country": "DE", "ip_country": "DE", "target": "t",
        "client": "web", "verified": True, "views": 9, "likes": 1, "reports": 0,
    }  # fmt: skip
    found = after(
        [post(-1, OFFER, "ana", (name,), **signals)],
        post(0, OFFER, "ana", (name,), **signals),
        pictures,
    )
    hashes = {name for name, family in SurroundingsExtractor.families.items() if family == "hashes"}
    assert set(found) == set(SurroundingsExtractor.names) - hashes
    assert len(set(SurroundingsExtractor.names)) == len(SurroundingsExtractor.names)
    assert set(SurroundingsExtractor.families) == set(SurroundingsExtractor.names)
