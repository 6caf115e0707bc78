"""Counts and shares of a text, by hand, and finite for every text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.text.lexical import NAMES, lexical_features
from pipelines.features.text.segments import segment_of


def _of(text: str, name: str) -> float:
    return float(lexical_features(text)[NAMES.index(name)])


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("see http://a.example/x?y=1 or www.b.example", "links", 2),
        ("see http://a.example/x?y=1 or www.b.example", "links_with_query", 1),
        ("FREE cash", "upper_share", 0.5),
        ("a1b22", "digit_share", 0.6),
        ("call 08001234567 now", "phones", 1),
        ("win £100 or 50 euro", "amounts", 2),
        ("WIN BIG now ok", "capital_word_share", 0.5),
        ("a\u200bb\u200c", "invisibles", 2),
        ("fr\u0435e", "mixed_script", 1),
        ("<b>hi</b>", "tags", 2),
        ("Re: hello", "is_reply", 1),
        ("加微信", "han_share", 1),
        ("wow!!!", "exclamations", 3),
    ],
)
def test_counts_are_those_made_by_hand(text: str, name: str, expected: float) -> None:
    assert _of(text, name) == pytest.approx(expected)


@given(st.text(max_size=300))
def test_every_text_has_finite_features(text: str) -> None:
    features = lexical_features(text)
    assert features.shape == (len(NAMES),)
    assert np.isfinite(features).all()


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("hello", "latin-short"),
        ("加微信", "han-short"),
        ("word " * 200, "latin-long"),
        ("", "latin-short"),
    ],
)
def test_a_text_belongs_to_a_segment_by_script_and_length(text: str, segment: str) -> None:
    assert segment_of(lexical_features(text)) == segment


def test_a_declared_language_narrows_the_segment() -> None:
    assert segment_of(lexical_features("merhaba"), "tr-TR") == "latin-short/tr"
    assert segment_of(lexical_features("hello"), "zh") == "latin-short/zh"
