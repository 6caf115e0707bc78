"""What single attacks promise beyond their behaviour suite, and what a disguise costs."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from data_contracts.events import MAX_EVENT_BYTES, MAX_TEXT_CHARACTERS, Event, MediaReference
from evaluation.attacks import ATTACKS, attacks, wordnet
from evaluation.attacks.behaviour import AgedAccount, DeviceRotation, SlowDrip
from evaluation.attacks.cost import edits
from evaluation.attacks.layout import SplitMessage, TextInImage
from evaluation.attacks.media import media_under, reference
from evaluation.attacks.text import CharacterAttack
from evaluation.attacks.words import MOST_SENTENCES, GoodWords, Synonyms
from pipelines.features.image.ocr import Tesseract, trained_data
from pipelines.features.image.reading import plain_text
from pipelines.features.media.base import DecodedImage
from pipelines.features.media.reader import BoundedMediaReader

MESSAGE = "Claim your free holiday prize now and call the winner line today"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def event(text: str = MESSAGE, **fields: object) -> Event:
    return Event.model_validate({"event_id": "e1", "text": text, **fields})


def noisy_png(side: int) -> bytes:
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pixels_of(media: MediaReference) -> NDArray[np.uint8]:
    found = media_under().image(media)
    assert isinstance(found, DecodedImage)
    return found.rgb


def shape_of(media: MediaReference) -> tuple[int, ...]:
    return pixels_of(media).shape


def test_the_cost_counts_letters_media_and_context_keys() -> None:
    one, other = reference("image", b"one"), reference("image", b"other")
    before = event("cash", media=(one,), context={"posts": 1, "device": "a"})
    after = event("c4sh!", media=(other, one), context={"posts": 2, "device": "a", "new": True})
    assert edits(before, before) == 0
    assert edits(before, after) == 2 + 1 + 2


def test_a_text_at_the_bound_of_the_contract_stays_as_it_is(rng: np.random.Generator) -> None:
    full = event("word " * (MAX_TEXT_CHARACTERS // 5))
    assert GoodWords().disguise(full, 1.0, rng) is full
    assert CharacterAttack("spacing").disguise(full, 1.0, rng) is full


def test_good_words_are_those_that_were_given_and_the_message_stays_whole(
    rng: np.random.Generator,
) -> None:
    attack = GoodWords({"en": [f"line{number}" for number in range(9)]})
    after = attack.disguise(event(), 0.5, rng)
    assert MESSAGE in after.text
    assert after.text.count("line") - MESSAGE.count("line") == MOST_SENTENCES // 2


def test_good_words_are_in_the_language_of_the_event(rng: np.random.Generator) -> None:
    attack = GoodWords({"en": ["hello"], "zh": ["你好"]})
    assert "你好" in attack.disguise(event("领取红包", language="zh-Hans"), 1.0, rng).text
    assert "你好" in attack.disguise(event("领取红包"), 1.0, rng).text
    assert "hello" in attack.disguise(event("ücretsiz", language="tr"), 1.0, rng).text


def test_good_words_without_english_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="'en'"):
        GoodWords({"zh": ["你好"]})


def test_without_wordnet_synonyms_apply_to_nothing_and_say_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(wordnet, "FOLDER", tmp_path)
    attack = Synonyms()
    assert not attack.applies_to(event())
    assert attack.disguise(event(), 1.0, rng) == event()
    assert attack.unavailable is not None
    assert wordnet.REMEDY in attack.unavailable


@pytest.mark.skipif(wordnet.why_absent() is not None, reason=str(wordnet.why_absent()))
def test_synonyms_keep_the_case_the_links_and_other_languages(rng: np.random.Generator) -> None:
    linked = "PRIZE for the Customer at http://prize.example"
    assert Synonyms().disguise(event(linked), 1.0, rng).text == (
        "AWARD for the Client at http://prize.example"
    )
    assert not Synonyms().applies_to(event("prize", language="de"))


def test_a_message_on_a_picture_leaves_nothing_of_it_in_the_caption() -> None:
    for seed in range(4):
        after = TextInImage().disguise(event(), 1.0, np.random.default_rng(seed))
        assert len(after.media) == 1
        assert not set(after.text.casefold().split()) & {"claim", "free", "prize", "winner"}


@pytest.mark.skipif(trained_data() is None, reason="tesseract-ocr is not installed")
def test_most_words_on_the_pictures_can_be_read_even_by_a_machine() -> None:
    data = trained_data()
    assert data is not None
    engine, found = Tesseract(data), []
    for seed in range(6):
        after = TextInImage().disguise(event(), 1.0, np.random.default_rng(seed))
        read = plain_text(engine.words(pixels_of(after.media[0]))).casefold()
        found += [word in read for word in MESSAGE.casefold().split()]
    assert np.mean(found) > 0.5


def test_a_split_message_has_its_first_words_in_the_caption(rng: np.random.Generator) -> None:
    after = SplitMessage().disguise(event(), 1.0, rng)
    assert after.text == "Claim your free holiday prize now"
    assert len(after.media) == 1


def test_what_no_font_has_is_not_drawn() -> None:
    assert not TextInImage().applies_to(event("大家快来看看 领取红包 今天 日入"))
    assert not SplitMessage().applies_to(event("大家快来看看 领取红包 今天 日入"))


def test_pictures_by_path_are_read_under_the_media_root(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    content = noisy_png(64)
    (tmp_path / "a.png").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    media = (MediaReference(kind="image", sha256=digest, path="a.png"),)
    with BoundedMediaReader(tmp_path) as reader:
        after = attacks(lambda: reader)["noise"].disguise(event(media=media), 0.5, rng)
    assert after.media[0].path is None
    assert shape_of(after.media[0]) == (64, 64, 3)
    assert ATTACKS["noise"].disguise(event(media=media), 0.5, rng).media == media


def test_many_large_pictures_are_made_small_enough_for_one_event(
    rng: np.random.Generator,
) -> None:
    media = tuple(reference("image", noisy_png(128)) for _ in range(15))
    after = ATTACKS["noise"].disguise(event(media=media), 1.0, rng)
    assert len(after.model_dump_json().encode()) <= MAX_EVENT_BYTES
    assert all(one.sha256 != other.sha256 for one, other in zip(media, after.media, strict=True))


def test_a_file_that_is_no_picture_stays(rng: np.random.Generator) -> None:
    broken = event(media=(reference("image", b"no picture"),))
    assert ATTACKS["blur"].disguise(broken, 1.0, rng) == broken


def test_a_crop_cuts_an_eighth_and_a_banner_adds_to_the_height(rng: np.random.Generator) -> None:
    whole = event(media=(reference("image", noisy_png(100)),))
    assert shape_of(ATTACKS["crop"].disguise(whole, 1.0, rng).media[0]) == (88, 88, 3)
    assert shape_of(ATTACKS["overlay"].disguise(whole, 1.0, rng).media[0]) == (115, 100, 3)


def test_a_slower_campaign_has_rarer_posts_and_longer_intervals() -> None:
    context = {"behaviour.posts_hour": 24.0, "behaviour.interval_mean_log": float(np.log1p(60))}
    after = SlowDrip().disguise(event(context=context), 1.0, _Certain()).context
    assert after["behaviour.posts_hour"] == pytest.approx(1.0)
    assert after["behaviour.interval_mean_log"] == pytest.approx(np.log1p(60 * 24))


def test_an_aged_account_is_older_by_the_same_days_everywhere() -> None:
    made = {"account_created_at": "2026-01-05T10:00:00", "behaviour.account_age_days": 2.0}
    context = {**made, "behaviour.posts_log": 0.0, "posts": 0}
    after = AgedAccount().disguise(event(context=context), 1.0, _Certain()).context
    assert after["account_created_at"] == "2023-01-06T10:00:00+00:00"
    assert after["behaviour.account_age_days"] == 2.0 + 3 * 365
    assert after["posts"] == 300
    assert after["behaviour.posts_log"] == pytest.approx(np.log1p(300))


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00", "yesterday", None])
def test_a_date_that_cannot_be_earlier_stays(value: str | None, rng: np.random.Generator) -> None:
    context = {"account_created_at": value, "behaviour.posts_log": 1e300}
    after = AgedAccount().disguise(event(context=context), 1.0, rng).context
    assert after["account_created_at"] == value


def test_another_device_has_fewer_accounts_and_another_name(rng: np.random.Generator) -> None:
    context = {"device": "phone", "behaviour.device_accounts_day": 20.0, "other": "kept"}
    after = DeviceRotation().disguise(event(context=context), 0.75, rng).context
    assert after["behaviour.device_accounts_day"] == 5.0
    assert after["device"] != "phone"
    assert after["other"] == "kept"


class _Certain(np.random.Generator):
    """Chance that always gives its most."""

    def __init__(self) -> None:
        super().__init__(np.random.PCG64(0))

    def random(self, *_: object, **__: object) -> float:  # type: ignore[override]
        return 1.0
