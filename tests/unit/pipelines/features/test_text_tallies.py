"""What is counted of a text, against plain counting of the same text."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.text.characters import characters
from pipelines.features.text.tallies import (
    DISTINCT_WORDS,
    LONG_DIGIT_RUNS,
    LONGEST_DIGITS,
    REPEATS,
    WORDS,
    tallied,
)

PIECES = st.sampled_from(
    ["a", "Aa", "b1", "free", "!!!", "...", "1234567", "5", " ", "\n", "$", "%", "@", "re:", "www.",
     ".com", "://", "?", "ş", "Ж", "元", "\u200b", "\ud800", "😀"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@given(st.lists(TEXTS | st.text(max_size=60), min_size=1, max_size=6))
def test_a_text_is_counted_alike_alone_and_among_others(texts: list[str]) -> None:
    together = tallied(characters(texts))
    alone = np.vstack([tallied(characters([text])) for text in texts])
    assert np.array_equal(together, alone)


@given(st.lists(st.sampled_from(["win", "Win", "12", "a1", "x"]), max_size=12))
def test_words_and_digits_are_those_of_plain_counting(words: list[str]) -> None:
    text = " ".join(words)
    found = tallied(characters([text]))[0]
    runs = [len(run) for run in re.findall(r"\d+", text)]
    assert found[WORDS] == len(words)
    assert found[DISTINCT_WORDS] == len({word.lower() for word in words})
    assert found[LONGEST_DIGITS] == max(runs, default=0)
    assert found[LONG_DIGIT_RUNS] == sum(run >= 5 for run in runs)


def test_a_run_that_ends_one_text_does_not_go_on_in_the_next() -> None:
    texts = ["aa", "aab", "!!!!  x", "xyyyx"]
    assert tallied(characters(texts))[:, REPEATS].tolist() == [0, 0, 1, 1]


def test_a_very_long_text_is_counted_to_its_end() -> None:
    found = tallied(characters(["ab " * 40_000 + "1234567"]))[0]
    assert (found[WORDS], found[DISTINCT_WORDS], found[LONGEST_DIGITS]) == (40_001, 2, 7)
