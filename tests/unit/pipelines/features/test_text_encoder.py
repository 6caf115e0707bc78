"""Long texts are read in pieces, and a vector does not depend on its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import Embedding, mean_embedding, pieces


class CountingEncoder:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def encode(self, text: str) -> Embedding:
        self.texts.append(text)
        return np.array([len(text), 1.0], np.float32)


@given(st.text(max_size=300), st.integers(2, 40), st.integers(1, 5))
def test_pieces_are_short_and_few_and_never_none(text: str, size: int, most: int) -> None:
    cut = pieces(text, size, most)
    assert 1 <= len(cut) <= most
    assert all(len(piece) <= size for piece in cut)


def test_a_long_text_is_the_unit_mean_of_its_pieces() -> None:
    vectors = {"a" * 500: np.array([1, 0], np.float32), "b": np.array([0, 1], np.float32)}
    mean = mean_embedding("a" * 500 + " b", vectors.__getitem__)
    np.testing.assert_allclose(mean, np.array([1, 1]) / np.sqrt(2), rtol=1e-6)


def test_a_text_is_encoded_once_and_then_read_with_the_same_bytes(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    with CachedEncoder(encoder, tmp_path, "v1") as first:
        once = first.encode("hello")
    with CachedEncoder(encoder, tmp_path, "v1") as second:
        again = second.encode("hello")
    assert encoder.texts == ["hello"]
    assert once.tobytes() == again.tobytes()


def test_another_version_of_the_encoder_reads_nothing_of_the_first(tmp_path: Path) -> None:
    encoder = CountingEncoder()
    for version in ("v1", "v2"):
        with CachedEncoder(encoder, tmp_path, version) as cached:
            cached.encode("hello")
    assert encoder.texts == ["hello", "hello"]


def test_the_folder_of_the_cache_is_made_where_there_is_none(tmp_path: Path) -> None:
    with CachedEncoder(CountingEncoder(), tmp_path / "a" / "b", "v1") as cached:
        assert cached.encode("x").dtype == np.float32
