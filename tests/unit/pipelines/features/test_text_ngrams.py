"""Hashed n-grams of small texts, counted by hand."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.text.ngrams import BUCKETS, count_ngrams, ngram_rows

FIRST_BUCKETS_OF_FREE = [30344, 116424, 520443]


def test_two_letters_give_the_ngrams_counted_by_hand() -> None:
    # " ab ": 3 bigrams and 1 4-gram; and one word
    assert len(count_ngrams("ab").buckets) == 5


def test_a_repeated_ngram_is_one_bucket_with_one_plus_the_logarithm_of_its_count() -> None:
    # " aaa ": the bigram "aa" stands twice, everything else once
    values = np.sort(count_ngrams("aaa").values)
    np.testing.assert_allclose(values[-1], 1 + np.log(2), rtol=1e-6)
    assert set(values[:-1]) == {np.float32(1.0)}


def test_words_are_kept_apart_from_the_same_characters() -> None:
    shared = np.intersect1d(count_ngrams("win").buckets, count_ngrams("winwin").buckets)
    assert len(shared) < len(count_ngrams("win").buckets)


def test_hashes_are_the_same_on_every_machine() -> None:
    assert count_ngrams("free").buckets.tolist()[:3] == FIRST_BUCKETS_OF_FREE


def test_an_empty_text_has_one_blank_bigram_and_no_word() -> None:
    assert len(count_ngrams("").buckets) == 1


@given(st.lists(st.text(max_size=60), max_size=5))
def test_a_row_does_not_depend_on_its_neighbours(texts: list[str]) -> None:
    rows = ngram_rows(texts)
    for number, text in enumerate(texts):
        part = slice(rows.starts[number], rows.starts[number + 1])
        alone = count_ngrams(text)
        assert (rows.buckets[part] == alone.buckets).all()
        assert (rows.values[part] == alone.values).all()


@given(st.text(max_size=100))
def test_buckets_ascend_without_repeats_within_bounds(text: str) -> None:
    buckets = count_ngrams(text).buckets
    assert (np.diff(buckets) > 0).all()
    assert len(buckets) == 0 or (buckets[0] >= 0 and buckets[-1] < BUCKETS)
