"""What was decoded last is kept within a bound of bytes."""

from __future__ import annotations

import numpy as np

from pipelines.features.media.base import DecodedImage, Unreadable
from pipelines.features.media.recent import ENTRY_BYTES, RecentlyDecoded

PIXEL_BYTES = 3 * 10 * 10
ONE = ENTRY_BYTES + PIXEL_BYTES


def image() -> DecodedImage:
    return DecodedImage(np.zeros((10, 10, 3), np.uint8), 10, 10, "PNG", 1)


def test_the_least_recently_used_goes_first() -> None:
    recent = RecentlyDecoded(2 * ONE)
    recent.keep("a", image())
    recent.keep("b", image())
    recent.find("a")
    recent.keep("c", image())
    assert [recent.find(key) is not None for key in "abc"] == [True, False, True]


def test_what_is_larger_than_the_bound_is_not_kept() -> None:
    recent = RecentlyDecoded(ONE - 1)
    recent.keep("a", image())
    assert recent.find("a") is None


def test_reasons_are_kept_too() -> None:
    recent = RecentlyDecoded(ONE)
    recent.keep("a", Unreadable("image_damaged"))
    recent.keep("a", image())
    assert recent.find("a") == Unreadable("image_damaged")
