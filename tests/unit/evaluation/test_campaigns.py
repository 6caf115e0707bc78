"""New campaigns: real growth is found whatever the traffic, and what is benign stays quiet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.verdicts import DecisionRecord, Verdict
from evaluation.monitoring import campaigns
from evaluation.monitoring.campaign_groups import growing, predicted_chance, senders
from evaluation.monitoring.campaign_posts import Post, decided_posts, sides_of
from evaluation.monitoring.campaigns import Labelled, campaign_alerts, is_known_ham
from pipelines import lake
from pipelines.known_campaigns import KnownCampaign, KnownCampaigns
from pipelines.live_events import WARM_UP

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WINDOW_HOURS = 2 / 60
START = NOW - 2 * MINUTE
TOPICS = 8


class TopicEncoder:
    """A direction a topic (the text's first word), and a little of its own for each text."""

    version = "topics-1"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        self.asked += texts
        return [_vector(text) for text in texts]


def _vector(text: str) -> np.ndarray:
    topic = np.random.default_rng(list(text.split()[0].encode())).normal(size=64)
    own = np.random.default_rng(list(text.encode())).normal(size=64)
    vector = topic / np.linalg.norm(topic) + 0.4 * own / np.linalg.norm(own)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def posts(
    topic: str, count: int, at: datetime, *, accounts: int | None = None, allowed: bool = True
) -> list[Post]:
    return [
        Post(
            f"{topic}-{at:%H%M}-{number}", f"{topic} {at:%H%M} {number}",
            None if accounts is None else f"{topic}{number % accounts}", allowed, at,
        )
        for number in range(count)
    ]  # fmt: skip


def ordinary(at: datetime, each: int) -> list[Post]:
    return [one for topic in range(TOPICS) for one in posts(f"topic{topic}", each, at)]


def usual() -> list[Post]:
    """Forty-six minutes of eight topics, then two minutes of the same."""
    before = [one for minute in range(5, 51) for one in ordinary(NOW - minute * MINUTE, 2)]
    return [*before, *ordinary(NOW - MINUTE, 5)]


def found(given: Sequence[Post]) -> list[Any]:
    sides = sides_of(given, START, campaigns.MOST_NOW, campaigns.MOST_BEFORE)
    return growing(sides.now, sides.before, *campaigns.embedded(sides, TopicEncoder()))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path)})


def write(settings: Settings, given: Sequence[Post], *, mirrored: bool = False) -> None:
    folder = settings.home / "decisions"
    folder.mkdir(exist_ok=True)
    with (folder / "blue-1.jsonl").open("ab") as file:
        for post in given:
            action = "allow" if post.allowed else "block"
            verdict = Verdict(post.event_id, 0.1, action, (), (), "1", "t1")  # type: ignore[arg-type]
            event = {"event_id": post.event_id, "text": post.text, "account": post.account}
            record = DecisionRecord(verdict, event, post.at.isoformat(), mirrored, 1.0)
            file.write(orjson.dumps(record.as_record(), option=orjson.OPT_APPEND_NEWLINE))


def alerts(settings: Settings, now: datetime = NOW) -> list[Any]:
    return campaign_alerts(settings, now, WINDOW_HOURS, TopicEncoder())


def test_ordinary_traffic_is_quiet_and_so_is_a_burst_of_all_of_it() -> None:
    assert found(usual()) == []
    assert found([*usual(), *ordinary(NOW - MINUTE / 2, 100)]) == []


def test_a_topic_that_grows_beyond_chance_is_found_and_what_grows_a_little_is_not() -> None:
    (campaign,) = found([*usual(), *posts("pictures", 12, NOW - MINUTE)])
    assert campaign.senders == 12
    assert campaign.expected < 1
    assert found([*usual(), *posts("topic3", 8, NOW - MINUTE / 2)]) == []


def test_one_account_is_one_sender_however_much_it_posts() -> None:
    assert found([*usual(), *posts("pictures", 40, NOW - MINUTE, accounts=2)]) == []
    (campaign,) = found([*usual(), *posts("pictures", 40, NOW - MINUTE, accounts=20)])
    assert campaign.senders == 20
    unknown = posts("a", 3, NOW)
    assert senders([*unknown, unknown[0]]) == 3


def test_without_anything_from_before_nothing_is_new() -> None:
    assert found(posts("pictures", 300, NOW - MINUTE)) == []


def test_the_chance_is_that_of_a_negative_binomial() -> None:
    # shape 1/2, one part in five of the traffic is now: P(X = 0) = (4/5)^(1/2)
    assert predicted_chance(1, 0, 0.25) == pytest.approx(1 - 0.8**0.5)
    assert predicted_chance(30, 20, 0.25) < predicted_chance(10, 20, 0.25)


def test_an_alert_is_a_ticket_that_says_who_where_and_since_when_and_no_word_of_users(
    settings: Settings,
) -> None:
    write(settings, [*usual(), *posts("pictures", 12, NOW - MINUTE, accounts=12)])
    (alert,) = alerts(settings)
    assert (alert.name, alert.severity_hint, alert.value) == ("NewCampaign", "ticket", 12.0)
    assert alert.likely_cause.startswith(
        "campaign of 12 posts from 12 accounts, first seen 2026-01-05 11:59 UTC, allowed 100%"
    )
    assert "pictures 1159" not in alert.reason + alert.likely_cause


def test_a_campaign_that_goes_on_keeps_its_name_and_another_gets_another(
    settings: Settings,
) -> None:
    write(settings, [*usual(), *posts("pictures", 12, NOW - MINUTE)])
    (first,) = alerts(settings)
    write(settings, [*ordinary(NOW + MINUTE, 5), *posts("pictures", 40, NOW + MINUTE)])
    write(settings, posts("watches", 30, NOW + MINUTE))
    later = alerts(settings, NOW + 2 * MINUTE)
    assert len(later) == 2
    assert first.fingerprint in {one.fingerprint for one in later}


def test_what_the_filter_acts_upon_or_reviewers_called_ham_needs_nobodys_eyes(
    settings: Settings,
) -> None:
    write(settings, [*usual(), *posts("pictures", 12, NOW - MINUTE, allowed=False)])
    assert alerts(settings) == []
    write(settings, posts("newsletter", 12, NOW - MINUTE))
    assert len(alerts(settings)) == 1
    _label(settings, [f"newsletter edition {number}" for number in range(3)], "ham")
    assert alerts(settings) == []


@pytest.mark.parametrize(
    ("allowed", "blocked", "told"), [(12, 30, 1), (12, 80, 0), (5, 10, 0), (0, 30, 0)]
)
def test_a_campaign_of_which_the_filter_catches_most_is_told_where_enough_gets_through(
    settings: Settings, allowed: int, blocked: int, told: int
) -> None:
    through = posts("pictures", allowed, NOW - MINUTE)
    caught = posts("pictures", blocked, START, allowed=False)
    write(settings, [*usual(), *through, *caught])
    assert len(alerts(settings)) == told


def _label(settings: Settings, texts: Sequence[str], label: str) -> None:
    day = "2026-01-04"
    labels = [
        {"event_id": text, "label": label, "source": "reviewer", "reviewer": "ada",
         "strategy": "audit", "inclusion_probability": 0.5, "observed_at": NOW, "batch": "b"}
        for text in texts
    ]  # fmt: skip
    features = [
        {"event_id": text, "language": "en", "embedding": _vector(text).tolist(),
         "encoder": TopicEncoder.version}
        for text in texts
    ]  # fmt: skip
    lake.write(settings.lake, "labels", day, lake.rows("labels", labels))
    lake.write(settings.lake, "features", day, lake.rows("features", features))


def test_labels_of_spam_near_a_group_keep_its_alert() -> None:
    vectors = np.array([_vector(f"pictures {number}") for number in range(4)])
    (group,) = found([*usual(), *posts("pictures", 12, NOW - MINUTE)])
    reviewed = Labelled(vectors, np.array([False, False, False, True]))
    assert not is_known_ham(group, reviewed)
    assert is_known_ham(group, replace(reviewed, is_spam=np.zeros(4, bool)))
    assert not is_known_ham(group, Labelled(vectors[:2], np.zeros(2, bool)))


def test_copies_warm_ups_and_torn_lines_are_no_posts(settings: Settings) -> None:
    write(settings, posts("pictures", 1, NOW), mirrored=True)
    write(settings, [Post(f"{WARM_UP}1", "hi", None, True, NOW), *posts("a", 1, NOW)])
    with (settings.home / "decisions" / "blue-1.jsonl").open("ab") as file:
        file.write(b'{"verdict"')
    seen = list(decided_posts(settings.home / "decisions", START, NOW + MINUTE))
    assert [post.text for post in seen] == ["a 1200 0"]


def test_a_sample_is_bounded_and_the_same_whatever_the_order() -> None:
    given = usual()
    one, other = sides_of(given, START, 10, 20), sides_of(given[::-1], START, 10, 20)
    assert (len(one.now), len(one.before)) == (10, 20)
    assert (one.posts_now, one.posts_before) == (40, 736)
    assert one == other


def test_a_campaign_is_not_over_because_its_own_posts_have_become_usual(
    settings: Settings,
) -> None:
    write(settings, [*usual(), *posts("pictures", 12, NOW - MINUTE)])
    (first,) = alerts(settings)
    for minute in range(1, 12):
        at = NOW + minute * MINUTE
        write(settings, [*ordinary(at, 3), *posts("pictures", 6, at)])
    later = NOW + 12 * MINUTE
    sides = sides_of(
        decided_posts(settings.home / "decisions", NOW - 40 * MINUTE, later),
        later - 2 * MINUTE, 1000, 1000,
    )  # fmt: skip
    assert growing(sides.now, sides.before, *campaigns.embedded(sides, TopicEncoder())) == []
    write(settings, posts("pictures", 12, later - MINUTE / 2))
    (again,) = alerts(settings, later)
    assert again.fingerprint == first.fingerprint
    assert "first seen 2026-01-05 11:59" in again.likely_cause
    write(settings, [*ordinary(later + MINUTE, 5)])
    assert alerts(settings, later + 3 * MINUTE) == []


def test_what_another_encoder_saw_is_forgotten(tmp_path: Path) -> None:
    path, centre = tmp_path / "known.json", np.array([1, 0], np.float32)
    first = KnownCampaigns(path, "a")
    assert first.see(KnownCampaign("x", NOW, NOW, 0.5, centre)).id == "x"
    first.save(NOW)
    later = KnownCampaign("y", NOW + MINUTE, NOW + MINUTE, 9.0, centre)
    kept = KnownCampaigns(path, "a").see(later)
    assert (kept.id, kept.first, kept.last, kept.expected) == ("x", NOW, NOW + MINUTE, 0.5)
    assert KnownCampaigns(path, "b").see(later).id == "y"
    assert [one.id for one in KnownCampaigns(path, "a").seen_since(NOW)] == ["x"]
    assert KnownCampaigns(path, "a").seen_since(NOW + MINUTE) == []
    path.write_bytes(b"{")
    assert KnownCampaigns(path, "a").see(later).id == "y"


def test_too_few_posts_ask_no_encoder(settings: Settings) -> None:
    encoder = TopicEncoder()
    write(settings, posts("a", 20, NOW - MINUTE))
    assert campaign_alerts(settings, NOW, WINDOW_HOURS, encoder) == []
    assert encoder.asked == []
