"""The parts of composed traffic: words on pictures, cards in clips, cuts in advertisements."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.simulation import clips, drawing, synthetic_sources
from pipelines.simulation.composition.material import Deck, Shelf
from pipelines.simulation.composition.wording import Halves, Wording


def photo() -> bytes:
    return synthetic_sources.picture(1, is_spam=False)


def test_words_on_a_photo_are_the_same_bytes_for_the_same_seed() -> None:
    first, second, other = (
        drawing.drawn("See you at eight", photo(), np.random.default_rng(seed))
        for seed in (1, 1, 2)
    )
    assert first == second != other
    assert Image.open(io.BytesIO(first)).format == "JPEG"


@pytest.mark.parametrize("layout", drawing.LAYOUTS)
def test_every_layout_changes_the_picture(layout: drawing.Layout) -> None:
    plain = drawing.opened(photo())
    page = layout(drawing.opened(photo()), "Günaydın, alles 5 €", np.random.default_rng(0))
    assert page.mode == "RGB"
    assert np.asarray(page).tobytes() != np.asarray(plain).tobytes()


def test_a_variant_is_another_file_of_nearly_the_same_picture() -> None:
    variant = drawing.varied(photo(), np.random.default_rng(0))
    assert variant != photo()
    small = [drawing.opened(content).resize((16, 16)) for content in (photo(), variant)]
    difference = np.abs(np.asarray(small[0], float) - np.asarray(small[1], float)).mean()
    assert difference < 12


def test_a_card_stands_in_a_few_frames_and_the_rest_is_the_clip() -> None:
    frames = clips.panning(photo(), np.random.default_rng(0))
    carded = clips.with_card(frames, synthetic_sources.picture(2, is_spam=True), at=6, count=3)
    changed = [
        number
        for number, (one, other) in enumerate(zip(frames, carded, strict=True))
        if not np.array_equal(one, other)
    ]
    assert changed == [6, 7, 8]


def test_a_clip_is_readable_and_the_same_bytes_again() -> None:
    frames = clips.panning(photo(), np.random.default_rng(0))
    content = clips.encoded(frames)
    assert content == clips.encoded(frames)
    with av.open(io.BytesIO(content)) as container:
        assert sum(1 for _ in container.decode(video=0)) == clips.FRAMES
    again = clips.frames_of(content, np.random.default_rng(0))
    assert {frame.shape for frame in again} == {(clips.HEIGHT, clips.WIDTH, 3)}


def test_an_advertisement_is_cut_where_the_worse_half_is_mildest() -> None:
    wording = Wording.of(spam=["win free cash", "free cash now"], ham=["see you now", "you came"])
    halves = wording.halves("all of it is free and cash")
    assert halves == Halves(mild="all of it is free", other="and cash")
    assert wording.weight(["free", "cash"]) > max(wording.weight(half.split()) for half in halves)


def test_a_language_without_blanks_is_cut_between_letters() -> None:
    wording = Wording.of(spam=["免费领取现金红包大奖快来"], ham=["明天我们一起去公园散步吧"])
    halves = wording.halves("免费领取现金红包大奖快来")
    assert sorted(halves.mild + halves.other) == sorted("免费领取现金红包大奖快来")
    assert halves.mild
    assert halves.other


def test_a_deck_deals_every_card_before_it_deals_one_again() -> None:
    deck = Deck(["a", "b", "c"], np.random.default_rng(0))
    assert sorted(deck.deal() for _ in range(3)) == ["a", "b", "c"]
    assert deck.deal() in {"a", "b", "c"}
    with pytest.raises(ValueError, match="the deck is empty"):
        Deck[str]([], np.random.default_rng(0)).deal()


def test_the_shelf_keeps_equal_files_once() -> None:
    shelf = Shelf()
    one, other = shelf.keep("image", photo()), shelf.keep("image", photo())
    assert one == other
    assert list(shelf.files) == [one.path]
    assert str(one.path).endswith(".jpg")
