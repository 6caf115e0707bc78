"""What every attack on an event must do."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_contracts.events import MAX_EVENT_BYTES, Event, MediaReference, parse_event_line
from evaluation.attacks import ATTACKS
from evaluation.attacks.cost import edits
from evaluation.attacks.media import media_under, reference
from evaluation.attacks.wordnet import why_absent
from pipelines.features.media.base import DecodedImage, DecodedVideo
from pipelines.features.media.contents import content_of
from pipelines.simulation.clips import encoded, panning
from pipelines.simulation.drawing import drawn

ENGLISH = "Claim your FREE holiday prize now, call the winner line at https://win.example/claim"
CHINESE = "大家快来看看，今天日入三千元，加我微信领取红包"
PAST = {
    "account_created_at": "2026-01-05T10:00:00+00:00",
    "device": "phone-7",
    "posts": 3,
    "followers": 1,
    "behaviour.account_age_days": 2.0,
    "behaviour.posts_hour": 12.0,
    "behaviour.posts_day": 40.0,
    "behaviour.most_in_minute": 6.0,
    "behaviour.interval_mean_log": 4.0,
    "behaviour.device_accounts_day": 20.0,
    "behaviour.device_spam_share": 0.5,
}
STRENGTHS, SEEDS = (0.1, 0.5, 1.0), 4
FEWEST_DECIBELS = 15.0  # of a picture whose large letters are still read


@cache
def picture() -> MediaReference:
    blocks = np.random.default_rng(1).integers(60, 200, (3, 4, 3)).astype(np.uint8)
    photo = Image.fromarray(blocks).resize((320, 240), Image.Resampling.BICUBIC)
    return reference("image", drawn("Win a prize today", _png(photo), np.random.default_rng(2)))


@cache
def clip() -> MediaReference:
    content = content_of(picture(), None, MAX_EVENT_BYTES)
    assert isinstance(content, bytes)
    return reference("video", encoded(panning(content, np.random.default_rng(3))))


@cache
def events() -> Mapping[str, Event]:
    common = {"account": "a1", "occurred_at": "2026-01-07T10:00:00+00:00"}
    return {
        "english": Event(event_id="e1", text=ENGLISH, language="en", **common),
        "chinese": Event(event_id="e2", text=CHINESE, language="zh", **common),
        "picture": Event(event_id="e3", text="", media=(picture(),), **common),
        "video": Event(event_id="e4", text="", media=(clip(),), **common),
        "past": Event(event_id="e5", text="", context=PAST, **common),
        "bare": Event(event_id="e6", text="2026"),
    }


def reached(name: str) -> list[Event]:
    """The events that the attack applies to; skips where what it needs is not installed."""
    if name == "synonyms" and (why := why_absent()):
        pytest.skip(why)
    return [event for event in events().values() if ATTACKS[name].applies_to(event)]


def disguised(name: str, event: Event, strength: float = 0.6, seed: int = 1) -> Event:
    return ATTACKS[name].disguise(event, strength, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ATTACKS)
def test_it_bears_its_name_and_says_what_it_is(name: str) -> None:
    assert ATTACKS[name].name == name
    assert (ATTACKS[name].__doc__ or "").strip()


@pytest.mark.parametrize("name", ATTACKS)
def test_it_applies_to_something_and_changes_that(name: str) -> None:
    assert reached(name)
    for event in reached(name):
        assert disguised(name, event, strength=1.0) != event


@pytest.mark.parametrize("name", ATTACKS)
def test_what_it_does_not_apply_to_comes_back_as_it_was(name: str) -> None:
    others = [event for event in events().values() if not ATTACKS[name].applies_to(event)]
    assert [event for event in others if disguised(name, event, strength=1.0) != event] == []


@pytest.mark.parametrize("name", ATTACKS)
def test_one_seed_gives_one_answer(name: str) -> None:
    for event in reached(name):
        assert disguised(name, event) == disguised(name, event)


@pytest.mark.parametrize("name", sorted(set(ATTACKS) - {"blur", "recompression"}))
def test_another_seed_gives_another_answer(name: str) -> None:
    event = reached(name)[0]
    answers = {disguised(name, event, seed=seed).model_dump_json() for seed in range(8)}
    assert len(answers) > 1


@pytest.mark.parametrize("name", ATTACKS)
def test_the_result_is_a_valid_event_with_the_hashes_of_its_media(name: str) -> None:
    for event in reached(name):
        line = disguised(name, event, strength=1.0).model_dump_json().encode()
        for media in parse_event_line(line).media:
            content = content_of(media, None, MAX_EVENT_BYTES)
            assert isinstance(content, bytes)
            assert hashlib.sha256(content).hexdigest() == media.sha256


@pytest.mark.parametrize("name", ATTACKS)
def test_id_account_language_and_time_stay(name: str) -> None:
    for event in reached(name):
        kept = {"event_id", "account", "language", "occurred_at"}
        after = disguised(name, event, strength=1.0)
        assert after.model_dump(include=kept) == event.model_dump(include=kept)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_stronger_attack_changes_at_least_as_much_on_average(name: str) -> None:
    changes = [
        np.mean(
            [
                change(event, disguised(name, event, strength, seed))
                for event in reached(name)
                for seed in range(SEEDS)
            ]
        )
        for strength in STRENGTHS
    ]
    assert changes == sorted(changes)
    assert changes[-1] > changes[0]


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_a_strength_outside_zero_to_one_is_refused(name: str, strength: float) -> None:
    with pytest.raises(ValueError, match="is outside"):
        disguised(name, reached(name)[0], strength)


@pytest.mark.parametrize(
    "name", [name for name in ATTACKS if ATTACKS[name].family in ("characters", "words")]
)
def test_an_attack_on_the_text_leaves_media_and_context(name: str) -> None:
    for event in reached(name):
        whole = event.model_copy(update={"media": (picture(),), "context": PAST})
        after = disguised(name, whole)
        assert (after.media, after.context) == (whole.media, whole.context)


@pytest.mark.parametrize("name", ["noise", "blur", "recompression"])
def test_a_picture_is_still_readable_at_the_greatest_strength(name: str) -> None:
    before, after = pixels(picture()), pixels(disguised(name, events()["picture"], 1.0).media[0])
    assert before.shape == after.shape
    assert decibels(before, after) > FEWEST_DECIBELS


def change(before: Event, after: Event) -> float:
    """Edits, and how far pictures, videos and numbers are from what they were."""
    pairs = zip(before.media, after.media, strict=False)
    numbers = (
        abs(entry - float(after.context[key] or 0))
        for key, entry in before.context.items()
        if isinstance(entry, int | float)
    )
    return edits(before, after) + sum(_distance(*pair) for pair in pairs) + sum(numbers)


def _distance(before: MediaReference, after: MediaReference) -> float:
    if before.kind == "image":
        old, new = pixels(before), pixels(after)
        fitted = np.asarray(Image.fromarray(new).resize(old.shape[1::-1]), float)
        return float(np.abs(fitted - old).mean())
    one, other = video(before), video(after)
    longer = abs(math.log(one.duration_seconds / other.duration_seconds))
    wider = other.rgb[0].size / one.rgb[0].size
    return longer + wider


def pixels(media: MediaReference) -> NDArray[np.uint8]:
    found = media_under().image(media)
    assert isinstance(found, DecodedImage)
    return found.rgb


def video(media: MediaReference) -> DecodedVideo:
    found = media_under().video(media)
    assert isinstance(found, DecodedVideo)
    return found


def decibels(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio."""
    error = np.mean((before.astype(float) - after.astype(float)) ** 2)
    return float(10 * np.log10(255.0**2 / error))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
