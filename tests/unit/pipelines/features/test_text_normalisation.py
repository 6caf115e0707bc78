"""Markup, invisible characters and look-alike letters disappear; other scripts stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.features.text import normalisation
from pipelines.features.text.normalisation import (
    CANONICAL_CHARACTERS,
    INVISIBLE,
    MOST_MARKS,
    fold,
    readable,
    strip_markup,
)


def test_tags_styles_and_comments_disappear_and_entities_are_resolved() -> None:
    html = "<style>p {}</style><p>Win&nbsp;&pound;5<!-- no --></p>"
    assert strip_markup(html).split() == ["Win", "£5"]


def test_a_text_with_a_less_than_sign_is_not_markup() -> None:
    assert strip_markup("5 < 6 and 7 > 6") == "5 < 6 and 7 > 6"


@pytest.mark.parametrize(
    ("disguised", "plain"),
    [
        ("fr\u0435\u0435", "free"),
        ("f\u200br\u00adee", "free"),
        ("ＦＲＥＥ", "FREE"),
        ("ϲаѕһ", "cash"),
        ("f\ufe00re\ufe0fe", "free"),
        ("f\u0336r\u0336e\u0336e\u0336", "free"),
        ("ꜰʀᴇᴇ", "free"),
    ],
)
def test_look_alikes_invisible_and_wide_letters_become_latin(disguised: str, plain: str) -> None:
    assert fold(f"get it now {disguised}") == f"get it now {plain}"


def test_russian_and_greek_stay_in_their_own_script() -> None:
    assert fold("привет, как дела") == "привет, как дела"
    assert fold("καλημέρα σας") == "καλημέρα σας"


def test_readable_text_has_single_blanks_and_lines_and_a_bounded_length() -> None:
    assert readable(" a \t b \n\n\n c ") == "a b\nc"
    assert len(readable("x" * 50_000)) == CANONICAL_CHARACTERS


def test_markup_that_is_never_closed_stays_and_hides_nothing() -> None:
    assert strip_markup("<!-- a <style>b</style> c") == "<!-- a c"
    assert strip_markup("<STYLE>a</style ><script>b") == " b"


@pytest.mark.parametrize("opening", ["<style>", "<script>", "<!--"])
def test_an_end_that_is_missing_is_sought_once(
    opening: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought: list[int] = []

    class Never:
        def search(self, text: str, start: int) -> None:
            sought.append(start)

    monkeypatch.setattr(
        normalisation, "_END_OF", dict.fromkeys(("style", "script", "comment"), Never())
    )
    strip_markup(f"<p>{opening * 1000}")
    assert sought == [3 + len(opening.rstrip(">"))]


def test_no_more_marks_are_stacked_on_a_letter_than_a_writing_has() -> None:
    assert fold("x" + "\u0301\u0323" * 5000 + "y") == fold(
        "x" + "\u0301\u0323" * (MOST_MARKS // 2) + "y"
    )


@given(st.text(max_size=200))
def test_folded_text_holds_nothing_invisible(text: str) -> None:
    assert not INVISIBLE.search(fold(text))


@given(st.text(max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    readable(text)
