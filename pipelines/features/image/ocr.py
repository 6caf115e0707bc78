"""The stage `ocr`, and the one door to Tesseract: the text that a picture shows.

Two readings, the second only where the first finds next to nothing: as a page, which is what most
adverts are, and then enlarged and for scattered words, which finds captions over photographs.
Smith 2007, "An Overview of the Tesseract OCR Engine".
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from data_contracts.events import Event
from pipelines.features.base import Features, no_features
from pipelines.features.image.network import Pixels
from pipelines.features.image.pictures import has_picture, pictures
from pipelines.features.image.reading import NAMES, Word, columns, plain_text, sure
from pipelines.features.media.base import MediaReader

LANGUAGE = "eng"
FOLDERS = (
    "/usr/share/tesseract-ocr/*/tessdata", "/usr/share/tessdata", "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)  # fmt: skip
PAGE_ENLARGED, SCATTERED_ENLARGED = 1.5, 2.0
LONGEST_SIDE = 1600
LEAST_WORDS = 3  # a page with fewer sure words is read for scattered ones
TIMEOUT_MILLISECONDS = 20_000  # of wall time; the densest page seen took 1.3 s of CPU
NOT_INSTALLED, TIMED_OUT = "ocr_not_installed", "ocr_timed_out"


def trained_data(folders: tuple[str, ...] = FOLDERS) -> Path | None:
    """The folder with the language's trained data: $TESSDATA_PREFIX, else the usual ones."""
    named = os.environ.get("TESSDATA_PREFIX")
    usual = [path for folder in folders for path in sorted(Path("/").glob(folder.lstrip("/")))]
    for folder in [Path(named), Path(named) / "tessdata", *usual] if named else usual:
        if (folder / f"{LANGUAGE}.traineddata").is_file():
            return folder
    return None


class Tesseract:
    """Reads words of one picture. One engine a thread, made at its first picture."""

    def __init__(self, data: Path, timeout_milliseconds: int = TIMEOUT_MILLISECONDS) -> None:
        self._data = data
        self._timeout = timeout_milliseconds
        self._own = threading.local()

    def words(self, rgb: Pixels) -> list[Word]:
        """TimeoutError where a reading takes longer than the timeout."""
        from tesserocr import PSM

        page = self._read(rgb, PAGE_ENLARGED, PSM.AUTO)
        if len(sure(page)) >= LEAST_WORDS:
            return page
        scattered = self._read(rgb, SCATTERED_ENLARGED, PSM.SPARSE_TEXT)
        return max(page, scattered, key=lambda words: len(sure(words)))

    def _read(self, rgb: Pixels, enlarged: float, layout: int) -> list[Word]:
        engine = self._engine()
        picture = prepared(rgb, enlarged)
        engine.SetPageSegMode(layout)
        engine.SetImage(picture)
        if not engine.Recognize(self._timeout):
            raise TimeoutError(f"no text within {self._timeout} ms")
        return list(_found(engine, picture.width * picture.height))

    def _engine(self) -> Any:
        if not hasattr(self._own, "engine"):
            import tesserocr

            tesserocr.set_leptonica_log_level(tesserocr.LeptLogLevel.NONE)
            self._own.engine = tesserocr.PyTessBaseAPI(
                path=f"{self._data}/", lang=LANGUAGE, oem=tesserocr.OEM.LSTM_ONLY
            )
        return self._own.engine


def prepared(rgb: Pixels, enlarged: float) -> Any:
    """The picture in grey, enlarged as far as LONGEST_SIDE allows: letters of adverts are small."""
    from PIL import Image

    grey = Image.fromarray(rgb).convert("L")
    scale = min(enlarged, LONGEST_SIDE / max(grey.size))
    size = tuple(max(1, round(side * scale)) for side in grey.size)
    return grey.resize(size, Image.Resampling.BICUBIC)


def _found(engine: Any, area: int) -> Iterator[Word]:
    from tesserocr import RIL, iterate_level

    words = engine.GetIterator()
    if words is None:
        return
    for word in iterate_level(words, RIL.WORD):
        if word.Empty(RIL.WORD):
            continue
        left, top, right, bottom = word.BoundingBox(RIL.WORD)
        yield Word(
            word.GetUTF8Text(RIL.WORD),
            word.Confidence(RIL.WORD),
            (right - left) * (bottom - top) / area,
            word.IsAtBeginningOf(RIL.TEXTLINE),
        )


class OcrExtractor:
    """`text` holds what the event's pictures show (the first four), one after the other."""

    assets: ClassVar[tuple[str, ...]] = ()
    names: ClassVar[tuple[str, ...]] = NAMES
    families: ClassVar[Mapping[str, str]] = dict.fromkeys(NAMES, "ocr")
    dimensions: ClassVar[int] = 0

    def __init__(self, files: Mapping[str, Path], media: MediaReader) -> None:
        self._files = files
        self._media = media
        data = trained_data()
        self._tesseract = None if data is None else Tesseract(data)

    def is_present(self, event: Event) -> bool:
        return has_picture(event)

    def extract(self, event: Event) -> Features:
        if self._tesseract is None:
            return no_features(len(NAMES), 0, NOT_INSTALLED)
        _, images, notes = pictures(event, self._media)
        try:
            read = [self._tesseract.words(image.rgb) for image in images]
        except TimeoutError:
            return no_features(len(NAMES), 0, *notes, TIMED_OUT)
        if not read:
            return no_features(len(NAMES), 0, *notes)
        text = "\n".join(plain_text(words) for words in read).strip()
        return Features(columns(read), np.zeros(0, np.float32), notes, text)
