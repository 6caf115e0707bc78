"""The simulated streams carry the harm that they say, and the rivals' rules are worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from data_contracts.config import load_settings
from tests.performance.rollout_rivals import (
    INTERVAL,
    METRICS,
    Series,
    fixed_thresholds,
    hodges_lehmann,
    mann_whitney_at_the_end,
)
from tests.performance.rollout_rows import EQUAL, HARDER, REGRESSIONS
from tests.performance.rollout_simulation import JUDGE, roll_out
from tests.performance.rollout_streams import LANGUAGES, Chunk, Scenario, mirrored

CHUNKS = 12  # of 10,000 requests


def harms(scenario: Scenario) -> dict[str, float]:
    """What the canary does beyond its reference, on the same events."""
    rng = np.random.default_rng(1)
    pairs = [mirrored(scenario, rng) for _ in range(CHUNKS)]
    canary, reference = (
        Chunk(*(np.concatenate([getattr(pair[arm], name) for pair in pairs])
                for name in Chunk.__dataclass_fields__))
        for arm in (0, 1)
    )  # fmt: skip
    spam, english = canary.is_spam, canary.languages == list(LANGUAGES).index("language=en")
    change = canary.acted.astype(float) - reference.acted
    return {
        "errors": float(canary.errors.mean() - reference.errors.mean()),
        "p50": float(np.median(canary.milliseconds) / np.median(reference.milliseconds)),
        "p99": float(
            np.quantile(canary.milliseconds, 0.99) / np.quantile(reference.milliseconds, 0.99)
        ),
        "false_positives": float(change[~spam].mean()),
        "recall": float(-change[spam & ~english].mean()),
        "recall_in_english": float(-change[spam & english].mean()),
        "prevalence": float(spam.mean()),
    }


NONE = {
    "errors": 0.0, "p50": 1.0, "p99": 1.0, "false_positives": 0.0, "recall": 0.0,
    "recall_in_english": 0.0, "prevalence": EQUAL.prevalence,
}  # fmt: skip
EXPECTED = dict(
    zip(
        REGRESSIONS,
        (
            {"errors": 0.005},
            {"p50": 1.3, "p99": 1.3},
            {"p99": 1.3},
            {"false_positives": 0.002},
            {"recall_in_english": 0.03},
        ),
        strict=True,
    )
)


@pytest.mark.parametrize(
    ("scenario", "harm"),
    [(EQUAL, {}), (HARDER[0], {"prevalence": 0.03}), *EXPECTED.items()],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_canary_has_the_harm_of_its_name_and_no_other(
    scenario: Scenario, harm: dict[str, float]
) -> None:
    found = harms(scenario)
    for name, value in (NONE | harm).items():
        reach = {"p50": 0.02, "p99": 0.06, "false_positives": 0.0004, "errors": 0.0008}
        assert found[name] == pytest.approx(value, abs=reach.get(name, 0.013)), name


def test_the_same_seed_gives_the_same_rollout() -> None:
    bounds = load_settings({"WEIR_ENV": "production"}).rollout
    slow = REGRESSIONS[1]
    first, second = roll_out(slow, bounds, 3), roll_out(slow, bounds, 3)
    assert first == second
    assert (first.state, first.phase) == ("failed", "shadow")
    assert first.stopped_at[JUDGE] == first.requests


def series(errors: list[float], p99: list[float]) -> Series:
    points = np.zeros((len(errors), len(METRICS)))
    points[:, METRICS.index("errors")], points[:, METRICS.index("p99")] = errors, p99
    return Series(points, np.zeros_like(points))


def test_fixed_thresholds_stop_at_the_fifth_failed_check() -> None:
    bad, good = 0.011, 0.009
    assert fixed_thresholds(series([bad, good] * 5, [0.0] * 10)) == 9 * INTERVAL
    assert fixed_thresholds(series([bad, good] * 4, [0.0] * 8)) is None
    assert fixed_thresholds(series([0.0] * 6, [1e6] * 6)) == 5 * INTERVAL


def test_mann_whitney_sees_a_shift_of_every_point_and_not_a_few() -> None:
    shifted = series([0.02 + at / 1000 for at in range(20)], [0.0] * 20)
    assert mann_whitney_at_the_end(shifted) == 20 * INTERVAL
    assert mann_whitney_at_the_end(series([0.0] * 19 + [0.5], [0.0] * 20)) is None


def test_the_shift_of_a_sample_moved_by_two_is_two() -> None:
    one = np.arange(30.0)
    shift, low, high = hodges_lehmann(one + 2, one, 0.98)
    assert shift == pytest.approx(2)
    assert low < 2 < high
