"""Leetspeak and spacing are undone where a known word comes out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.text.vocabulary import Vocabulary

WORDS = Vocabulary.of(["win free cash prize call now", "hello"] * 3)


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("fr33", "free"),
        ("ca$h", "cash"),
        ("c4ll", "call"),
        ("ca1l", "call"),
        ("pr!ze", "prize"),
        ("f r e e", "free"),
        ("c.a.s.h", "cash"),
        ("p_r_i_z_e", "prize"),
        ("f r e e c a s h", "free cash"),
    ],
)
def test_a_disguised_word_of_the_vocabulary_is_written_out(disguised: str, plain: str) -> None:
    assert WORDS.repaired(disguised) == (plain, 1)


@pytest.mark.parametrize("text", ["gr8", "call 08001234", "a1b2c3", "win now", "2 b or not"])
def test_what_is_no_disguised_word_stays(text: str) -> None:
    assert WORDS.repaired(text) == (text, 0)


def test_blanks_between_han_characters_are_closed() -> None:
    assert WORDS.repaired("加 微.信")[0] == "加微信"


def test_a_word_enters_by_the_number_of_texts_not_of_occurrences() -> None:
    assert "free" not in Vocabulary.of(["free free free free"])


def test_the_vocabulary_holds_hashes_only() -> None:
    assert WORDS.hashes.dtype == np.uint64
    assert (np.diff(WORDS.hashes.astype(object)) > 0).all()


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    WORDS.repaired(text)
