"""All image stages: several pictures are one row, and what cannot be read has a reason."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_contracts.config import load_settings
from data_contracts.errors import MissingPart
from data_contracts.events import Event, MediaReference
from pipelines.assets import asset_file
from pipelines.features.base import Extractor
from pipelines.features.image.extraction import ImageExtractor
from pipelines.features.image.objects import ObjectsExtractor
from pipelines.features.image.ocr import OcrExtractor
from pipelines.features.image.pictures import MOST_PICTURES, combined, pictures
from pipelines.features.media.reader import BoundedMediaReader
from pipelines.image_sets import image_reference
from tests.stand_ins.pictures import Shelf, written

STAGES: tuple[type[Extractor], ...] = (ImageExtractor, ObjectsExtractor, OcrExtractor)
WHITE, BLACK = np.full((40, 40, 3), 255, np.uint8), np.zeros((40, 40, 3), np.uint8)


def files_of(stage: type[Extractor]) -> dict[str, Path]:
    settings = load_settings({})
    try:
        return {name: asset_file(name, settings.data, settings.cache) for name in stage.assets}
    except MissingPart as error:
        pytest.skip(str(error))


def test_only_the_first_pictures_are_read_and_reasons_are_named_once() -> None:
    shelf = Shelf(a=WHITE, b=BLACK)
    found = pictures(shelf.event("gone", "a", "lost", "b", "a"), shelf)
    assert MOST_PICTURES == 4
    assert [image.rgb[0, 0, 0] for image in found.images] == [255, 0]
    assert found.notes == ("image_truncated",)


def test_a_column_is_unknown_only_where_it_is_unknown_in_all_pictures() -> None:
    rows = [np.array([1, np.nan, np.nan], np.float32), np.array([3, 5, np.nan], np.float32)]
    np.testing.assert_array_equal(combined(rows, np.nanmean), np.array([2, 5, np.nan]))


def test_a_real_file_is_decoded_and_a_cut_one_has_its_reason() -> None:
    buffer = io.BytesIO()
    Image.fromarray(written("HELLO")).save(buffer, "PNG")
    whole, cut = (image_reference(buffer.getvalue()[:end]) for end in (None, 60))
    with BoundedMediaReader(None) as media:
        found = pictures(Event(event_id="e", text="", media=(cut, whole)), media)
    assert [(image.format, image.width, image.height) for image in found.images] == (
        [("PNG", 360, 120)]
    )
    assert found.notes == ("image_truncated",)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_present_only_with_a_picture(stage: type[Extractor]) -> None:
    shelf = Shelf()
    extractor = stage({name: Path("unused.onnx") for name in stage.assets}, shelf)
    clip = MediaReference(kind="video", sha256="0" * 64, path="clip.mp4")
    assert not extractor.is_present(Event(event_id="e", text="", media=(clip,)))
    assert extractor.is_present(shelf.event("gone"))


@pytest.mark.parametrize("stage", STAGES)
def test_unreadable_pictures_give_their_reason_and_unknown_columns(stage: type[Extractor]) -> None:
    shelf = Shelf()
    extractor = stage({name: Path("unused.onnx") for name in stage.assets}, shelf)
    found = extractor.extract(shelf.event("gone"))
    assert "image_truncated" in found.notes or "ocr_not_installed" in found.notes
    assert found.columns.shape == (len(stage.names),)
    assert np.isnan(found.columns).all()
    assert found.embedding.shape == (stage.dimensions,)


@pytest.mark.dataset
def test_columns_and_embedding_of_two_pictures_are_their_means() -> None:
    shelf = Shelf(a=written("HELLO"), b=BLACK)
    extractor = ImageExtractor(files_of(ImageExtractor), shelf)
    one, other, both = (extractor.extract(shelf.event(*names)) for names in ("a", "b", "ab"))
    np.testing.assert_allclose(both.columns, (one.columns + other.columns) / 2, rtol=1e-5)
    np.testing.assert_allclose(both.embedding, (one.embedding + other.embedding) / 2, rtol=1e-5)


@pytest.mark.dataset
def test_a_plain_picture_shows_nobody() -> None:
    shelf = Shelf(a=written("HELLO"))
    found = ObjectsExtractor(files_of(ObjectsExtractor), shelf).extract(shelf.event("a"))
    row = dict(zip(ObjectsExtractor.names, found.columns.tolist(), strict=True))
    assert row["nsfw"] < 0.5
    assert (row["detections"], row["faces"], row["largest_box_share"]) == (0, 0, 0)
