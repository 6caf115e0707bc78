"""What a picture says becomes text and figures, within bounds."""

from __future__ import annotations

from math import log1p
from pathlib import Path

import numpy as np
import pytest

from pipelines.features.image.ocr import (
    NOT_INSTALLED,
    TIMED_OUT,
    OcrExtractor,
    Tesseract,
    trained_data,
)
from pipelines.features.image.reading import MAX_CHARACTERS, NAMES, Word, columns, plain_text
from tests.stand_ins.pictures import Shelf, written

DATA = trained_data()
needs_tesseract = pytest.mark.skipif(DATA is None, reason="tesseract-ocr-eng is not installed")


def word(text: str, confidence: float = 90, area: float = 0.1, begins: bool = False) -> Word:
    return Word(text, confidence, area, begins)


def test_text_keeps_lines_and_leaves_out_what_is_noise() -> None:
    words = [word("Win", begins=True), word("$500"), word("~|", 12), word("now!", begins=True)]
    assert plain_text(words) == "Win $500\nnow!"


def test_figures_of_a_short_advert() -> None:
    words = [
        word("Win", 80, begins=True),
        word("$500", 60, 0.2),
        word("~|", 12),
        word("to.com", 70),
    ]
    found = dict(zip(NAMES, columns([words]).tolist(), strict=True))
    assert found["ocr_characters"] == pytest.approx(log1p(len("Win $500 to.com")))
    assert found["ocr_confidence"] == pytest.approx(70)
    assert found["ocr_doubtful_share"] == pytest.approx(0.25)
    assert found["ocr_area_share"] == pytest.approx(0.4)
    assert found["ocr_digit_share"] == pytest.approx(3 / 15)
    assert (found["ocr_urls"], found["ocr_currency"], found["ocr_emails"]) == (1, 1, 0)


def test_a_picture_without_text_has_no_unknown_figures() -> None:
    assert columns([[]]).tolist() == [0] * len(NAMES)


def test_text_is_bounded() -> None:
    assert len(plain_text([word("x" * 99)] * 100)) == MAX_CHARACTERS


def test_trained_data_are_looked_for_in_the_folder_that_is_named_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TESSDATA_PREFIX", raising=False)
    assert trained_data((str(tmp_path / "*"),)) is None
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "eng.traineddata").touch()
    assert trained_data((str(tmp_path / "*"),)) == tmp_path / "5"
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path / "5"))
    assert trained_data(()) == tmp_path / "5"


def test_without_trained_data_the_columns_are_unknown_and_the_note_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.features.image.ocr.trained_data", lambda: None)
    shelf = Shelf(a=written("HELLO"))
    found = OcrExtractor({}, shelf).extract(shelf.event("a"))
    assert np.isnan(found.columns).all()
    assert found.notes == (NOT_INSTALLED,)


@needs_tesseract
def test_a_page_is_read_and_a_caption_over_a_picture_too() -> None:
    noise = np.random.default_rng(0).normal(150, 6, (120, 360, 1)).clip(0, 255)
    caption = written("CHEAP PILLS", background=noise.astype(np.uint8))
    shelf = Shelf(page=written("Call now for", "free money", "and prizes"), caption=caption)
    extractor = OcrExtractor({}, shelf)
    assert extractor.extract(shelf.event("page")).text.lower().split() == (
        ["call", "now", "for", "free", "money", "and", "prizes"]
    )
    assert "pills" in extractor.extract(shelf.event("page", "caption")).text.lower()


@needs_tesseract
def test_a_picture_that_takes_too_long_gives_a_note_and_no_columns() -> None:
    assert DATA is not None
    shelf = Shelf(a=written("Call now for", "free money"))
    extractor = OcrExtractor({}, shelf)
    extractor._tesseract = Tesseract(DATA, timeout_milliseconds=1)
    found = extractor.extract(shelf.event("a"))
    assert found.notes == (TIMED_OUT,)
    assert np.isnan(found.columns).all()
    assert found.text == ""
