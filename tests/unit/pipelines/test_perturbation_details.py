"""What single perturbations promise beyond their behaviour suite."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from pipelines.features.text.normalisation import fold
from pipelines.perturbations import HanVariants, Homoglyph, Punycode, Spacing, Typos, ZeroWidth
from pipelines.perturbations.han_variants import VARIANTS
from pipelines.perturbations.zero_width import INVISIBLE_SIGNS

TEXT = "Claim your holiday voucher now, call us today or lose it"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_homoglyphs_fold_back_to_the_text_while_half_the_letters_are_latin(
    rng: np.random.Generator,
) -> None:
    attacked = Homoglyph(0.3).perturb(TEXT, rng)
    assert attacked != TEXT
    assert fold(attacked) == TEXT


def test_signs_of_no_width_are_marks_or_formats_and_without_them_the_text_is_there(
    rng: np.random.Generator,
) -> None:
    assert {unicodedata.category(sign) for sign in INVISIBLE_SIGNS} == {"Cf", "Mn"}
    attacked = ZeroWidth(1.0).perturb(TEXT, rng)
    assert "".join(letter for letter in attacked if letter not in INVISIBLE_SIGNS) == TEXT


def test_no_sign_of_no_width_stands_beside_a_blank(rng: np.random.Generator) -> None:
    attacked = ZeroWidth(1.0).perturb("so far", rng)
    assert [len(word) for word in attacked.split(" ")] == [3, 5]


@pytest.mark.parametrize("host", ["win.example.com", "bit.ly", "t.me"])
@pytest.mark.parametrize("seed", range(6))
def test_a_host_in_full_width_still_names_the_same_server(host: str, seed: int) -> None:
    text = Punycode(1.0).perturb(f"http://{host}/Claim", np.random.default_rng(seed))
    wide = text.removeprefix("http://").removesuffix("/Claim")
    assert not wide.isascii()
    assert wide.encode("idna").decode() == host


def test_a_mail_address_is_not_written_in_full_width(rng: np.random.Generator) -> None:
    assert Punycode(1.0).perturb("me@mail.example.com", rng) == "me@mail.example.com"


def test_a_typo_leaves_the_first_and_the_last_letter() -> None:
    typos = {Typos(1.0).perturb("voucher", np.random.default_rng(seed)) for seed in range(60)}
    assert {word[0] + word[-1] for word in typos} == {"vr"}
    assert {len(word) for word in typos} == {6, 7, 8}


def test_words_of_three_letters_are_never_misspelt(rng: np.random.Generator) -> None:
    assert Typos(1.0).perturb("win the tea", rng) == "win the tea"


def test_chinese_signs_are_swapped_but_never_lost() -> None:
    for seed in range(10):
        attacked = Typos(1.0).perturb("研究表明", np.random.default_rng(seed))
        assert attacked == "研表究明"


def test_a_chinese_run_is_spread_in_words_of_four_signs(rng: np.random.Generator) -> None:
    attacked = Spacing(1.0).perturb("今天日入三千元", rng)
    assert len(attacked) == 7 + 3 + 2


def test_every_variant_of_a_chinese_sign_is_the_sign_for_unicode() -> None:
    assert len(VARIANTS) > 1000
    for plain, variants in VARIANTS.items():
        assert {unicodedata.normalize("NFKC", variant) for variant in variants} == {plain}


def test_variants_fold_back_to_the_text(rng: np.random.Generator) -> None:
    text = "大人用金"
    attacked = HanVariants(1.0).perturb(text, rng)
    assert attacked != text
    assert fold(attacked) == text
