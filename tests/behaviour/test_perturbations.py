"""What every perturbation must do."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.perturbations import PERTURBATIONS

TEXT = "Claim your FREE holiday voucher now, call us today or lose it"
LINKED = "claim the prize at https://win.example/claim?id=abc or mail claims@win.example, code A1B2"


def perturbed(name: str, text: str, rate: float = 0.5, seed: int = 1) -> str:
    return PERTURBATIONS[name](rate).perturb(text, np.random.default_rng(seed))


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_text_changes(name: str) -> None:
    assert perturbed(name, TEXT) != TEXT


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_one_seed_gives_one_answer_and_another_seed_another(name: str) -> None:
    assert perturbed(name, TEXT) == perturbed(name, TEXT)
    assert len({perturbed(name, TEXT, seed=seed) for seed in range(8)}) > 1


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_links_addresses_and_codes_still_work(name: str) -> None:
    attacked = perturbed(name, LINKED, rate=1.0)
    for fixed in ("https://win.example/claim?id=abc", "claims@win.example,", "A1B2"):
        assert fixed in attacked


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_text_at_most_doubles(name: str) -> None:
    assert len(TEXT) <= len(perturbed(name, TEXT, rate=1.0)) <= 2 * len(TEXT)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("text", ["", "   ", "2026", "你好，明天见"])
def test_what_is_out_of_reach_stays(name: str, text: str) -> None:
    if name != "spacing":
        assert perturbed(name, text, rate=1.0) == text
    assert perturbed(name, "", rate=1.0) == ""


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_rate_zero_changes_nothing(name: str) -> None:
    assert perturbed(name, TEXT, rate=0.0) == TEXT


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_more_rate_changes_more(name: str) -> None:
    changed = [
        np.mean([_distance(perturbed(name, TEXT, rate, seed)) for seed in range(10)])
        for rate in (0.1, 0.4, 0.9)
    ]
    assert changed == sorted(changed)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_outside_zero_to_one_is_refused(name: str, rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        PERTURBATIONS[name](rate)


def _distance(attacked: str) -> int:
    """How far a text is from TEXT: letters that differ, or letters that were added."""
    if len(attacked) != len(TEXT):
        return len(attacked) - len(TEXT)
    return sum(one != other for one, other in zip(attacked, TEXT, strict=True))
