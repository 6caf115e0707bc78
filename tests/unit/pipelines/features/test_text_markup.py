"""Tags, as a regular expression finds them."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.text.markup import LONGEST_TAG, Markup, markup

TAG = re.compile(rf"<[a-zA-Z/!][^>]{{0,{LONGEST_TAG}}}>")
PIECES = st.sampled_from(
    ["<", ">", "/", "!", "a", "Z", "5", " ", "é", "\ud800", "😀", "<b>", "</p>"]
)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_tags_are_those_of_the_expression(text: str) -> None:
    tags = TAG.findall(text)
    assert markup(text) == Markup(TAG.sub(" ", text), len(tags), sum(map(len, tags)))


def test_a_tag_may_be_as_long_as_the_bound_and_no_longer() -> None:
    longest = f"<a{'x' * LONGEST_TAG}>"
    assert markup(longest).tags == 1
    assert markup(longest.replace("x", "xx", 1)).tags == 0


def test_many_openings_without_an_end_are_read_once() -> None:
    text = "<a" * 50_000
    assert markup(text) == Markup(text)
