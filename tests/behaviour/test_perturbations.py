"""What every perturbation must do."""

from __future__ import annotations

import time

import numpy as np
import pytest
from rapidfuzz.distance import Levenshtein

from pipelines.perturbations import PERTURBATIONS

TEXT = "Claim your FREE holiday voucher now, call us today or lose it"
CHINESE = "大家快来看看，今天日入三千元，加我微信领取红包"
LINKED = "claim the prize at https://win.example/claim?id=abc or mail claims@win.example, code A1B2"
REACHES_CHINESE = {"spacing", "zero_width", "typos", "han_variants"}
REACHES_LATIN = set(PERTURBATIONS) - {"han_variants"}
SECONDS_OF_A_LONG_TEXT = 3.0  # ten times what it takes; quadratic work takes minutes
WRITES_LINKS_OTHERWISE = {"punycode"}
CASES = [(name, TEXT) for name in PERTURBATIONS if name in REACHES_LATIN] + [
    (name, CHINESE) for name in PERTURBATIONS if name in REACHES_CHINESE
]


def perturbed(name: str, text: str, rate: float = 0.5, seed: int = 1) -> str:
    return PERTURBATIONS[name](rate).perturb(text, np.random.default_rng(seed))


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_latin_letters_or_chinese_signs_are_in_reach(name: str) -> None:
    assert name in REACHES_LATIN | REACHES_CHINESE


@pytest.mark.parametrize(("name", "text"), CASES)
def test_the_text_changes(name: str, text: str) -> None:
    assert perturbed(name, text) != text


@pytest.mark.parametrize(("name", "text"), CASES)
def test_one_seed_gives_one_answer_and_another_seed_another(name: str, text: str) -> None:
    assert perturbed(name, text) == perturbed(name, text)
    assert len({perturbed(name, text, seed=seed) for seed in range(8)}) > 1


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_links_addresses_and_codes_still_work(name: str) -> None:
    attacked = perturbed(name, LINKED, rate=1.0)
    fixed = ["claims@win.example,", "A1B2"]
    if name not in WRITES_LINKS_OTHERWISE:
        fixed.append("https://win.example/claim?id=abc")
    assert [part for part in fixed if part not in attacked] == []


@pytest.mark.parametrize("name", sorted(set(PERTURBATIONS) - WRITES_LINKS_OTHERWISE))
def test_a_link_between_chinese_signs_stays_and_the_signs_around_it_do_not(name: str) -> None:
    attacked = perturbed(name, f"{CHINESE}t.me/abc12{CHINESE}", rate=1.0)
    assert "t.me/abc12" in attacked
    if name in REACHES_CHINESE:
        before, after = attacked.split("t.me/abc12")
        assert before != CHINESE
        assert after != CHINESE


@pytest.mark.parametrize(("name", "text"), CASES)
def test_the_text_at_most_doubles_and_little_is_lost(name: str, text: str) -> None:
    assert 0.8 * len(text) <= len(perturbed(name, text, rate=1.0)) <= 2 * len(text)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("text", ["", "   ", "2026", "+44 20 7946 0000", "¡¿…"])
def test_what_is_out_of_reach_stays(name: str, text: str) -> None:
    assert perturbed(name, text, rate=1.0) == text


@pytest.mark.parametrize("name", sorted(set(PERTURBATIONS) - REACHES_CHINESE))
def test_chinese_stays_where_only_latin_letters_are_in_reach(name: str) -> None:
    assert perturbed(name, CHINESE, rate=1.0) == CHINESE


@pytest.mark.parametrize(("name", "text"), CASES)
def test_rate_zero_changes_nothing(name: str, text: str) -> None:
    assert perturbed(name, text, rate=0.0) == text


@pytest.mark.parametrize(("name", "text"), CASES)
def test_more_rate_changes_more(name: str, text: str) -> None:
    changed = [
        np.mean([Levenshtein.distance(text, perturbed(name, text, rate, s)) for s in range(10)])
        for rate in (0.1, 0.4, 0.9)
    ]
    assert changed == sorted(changed)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_outside_zero_to_one_is_refused(name: str, rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        PERTURBATIONS[name](rate)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("part", ["a", "大", "a.", "@"])
def test_a_long_text_without_blanks_takes_no_more_than_its_length_asks(
    name: str, part: str
) -> None:
    text = part * (60_000 // len(part))
    start = time.process_time()
    perturbed(name, text, rate=1.0)
    assert time.process_time() - start < SECONDS_OF_A_LONG_TEXT
