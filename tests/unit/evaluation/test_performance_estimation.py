"""Expected precision and recall, recalibrated on late labels, and when they are not believed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from evaluation.monitoring.performance_estimation import (
    Spread,
    counted,
    expected_confusion,
    expected_quality,
)
from evaluation.monitoring.performance_estimation_calibration import (
    BEFORE,
    Labelled,
    Prior,
    Scored,
    joined,
    recalibrated,
)
from evaluation.monitoring.performance_estimation_shift import (
    prior_shift,
    shifted,
    shifts_by_slice,
    unseen_share,
)
from evaluation.monitoring.performance_estimation_windows import (
    Limits,
    Observed,
    estimate_window,
)
from training.logistic import sigmoid

ACTED_FROM = 1.0  # log-odds


def scored(rng: np.random.Generator, count: int, name: str = "en", place: float = 0.0) -> Scored:
    """Log-odds around -1, and one feature around `place`."""
    odds = rng.normal(-1.0, 2.0, count)
    features = rng.normal(place, 1.0, (count, 1))
    return Scored(odds, odds >= ACTED_FROM, np.full(count, name), features)


def labelled(rng: np.random.Generator, rows: Scored, above: float = 0.0) -> Labelled:
    """Labels by the log-odds, `above` of which the truth is for what was let through."""
    true = rows.log_odds + above * ~rows.positive
    return Labelled(rows, rng.random(len(rows)) < sigmoid(true))


def observed(
    rng: np.random.Generator, above: float = 0.0, labels: int = 400, name: str = "en"
) -> tuple[Observed, float]:
    """A window, and its realised recall."""
    window = labelled(rng, scored(rng, 3000, name), above)
    audit = labelled(rng, scored(rng, labels, name), above)
    recall = counted(window.is_spam, window.scored.positive).recall
    assert recall is not None
    return Observed(window.scored, audit), recall


def test_the_expected_matrix_is_worked_by_hand() -> None:
    chances, acted = np.array([0.9, 0.7, 0.4, 0.2]), np.array([True, True, False, False])
    found = expected_confusion(chances, acted)
    assert dataclasses.astuple(found) == pytest.approx((1.6, 0.4, 0.6, 1.4))
    assert found.precision == pytest.approx(0.8)
    assert found.recall == pytest.approx(1.6 / 2.2)


def test_certain_scores_give_the_counted_matrix() -> None:
    spam, acted = np.array([True, False, True, False]), np.array([True, True, False, False])
    assert expected_confusion(spam.astype(float), acted) == counted(spam, acted)


def test_a_ratio_without_events_is_none() -> None:
    nothing = expected_quality(np.array([0.1, 0.1]), np.array([False, False]))
    assert nothing.precision is None
    assert nothing.recall is None
    assert nothing.confusion.precision is None


def test_intervals_hold_the_realised_values_of_calibrated_scores() -> None:
    rng, held = np.random.default_rng(1), []
    for _ in range(200):
        window = labelled(rng, scored(rng, 500))
        found = expected_quality(sigmoid(window.scored.log_odds), window.scored.positive)
        true = counted(window.is_spam, window.scored.positive)
        for said, value in ((found.precision, true.precision), (found.recall, true.recall)):
            assert said is not None
            assert value is not None
            held.append(said.low <= value <= said.high)
    assert 0.92 < np.mean(held) < 0.98


def test_an_unsure_calibration_widens_the_interval() -> None:
    rows = scored(np.random.default_rng(2), 500)
    chances = sigmoid(rows.log_odds)
    sure = expected_quality(chances, rows.positive).recall
    spread = Spread((~rows.positive)[:, None].astype(float), np.array([[0.25]]))
    unsure = expected_quality(chances, rows.positive, spread).recall
    assert sure is not None
    assert unsure is not None
    assert unsure.value == sure.value
    assert unsure.high - unsure.low > 1.5 * (sure.high - sure.low)


def test_a_new_share_of_spam_is_read_from_scores_alone() -> None:
    rng = np.random.default_rng(3)
    spam = rng.random(20_000) < 0.5  # it was 0.2
    evidence = rng.normal(np.where(spam, 1.5, -1.5), np.sqrt(3.0))  # its own log-likelihood ratio
    chances = sigmoid(evidence + np.log(0.2 / 0.8))
    assert prior_shift(chances, 0.2) == pytest.approx(np.log(4.0), abs=0.1)


def test_an_unchanged_share_of_spam_moves_nothing() -> None:
    chances = sigmoid(scored(np.random.default_rng(4), 5000).log_odds)
    assert prior_shift(chances, float(chances.mean())) == pytest.approx(0.0, abs=1e-4)


def test_a_new_mix_of_languages_is_no_new_share_of_spam() -> None:
    rng = np.random.default_rng(5)
    calm, wild = sigmoid(rng.normal(-3, 1, 1000)), sigmoid(rng.normal(1, 1, 1000))
    before = {"en": float(calm.mean()), "tr": float(wild.mean())}
    names = np.repeat(["en", "tr"], [1000, 3000])
    chances = np.concatenate([calm, wild, wild, wild])
    rows = Scored(np.zeros(4000), np.zeros(4000, bool), names, np.zeros((4000, 0)))
    moved = shifts_by_slice(chances, rows, before)
    assert max(map(abs, moved.values())) < 0.01
    assert shifted(rows, {"tr": 2.0}).log_odds[[0, -1]].tolist() == [0.0, 2.0]


def test_without_labels_log_odds_stay_as_they_are() -> None:
    rows = scored(np.random.default_rng(6), 50)
    none = Labelled(rows, np.zeros(50, bool)).take(np.zeros(50, bool))
    found = recalibrated(none, np.zeros(0, np.int64), 1, Prior())
    now = np.zeros(50, np.int64)
    assert found.probabilities(rows, now) == pytest.approx(sigmoid(rows.log_odds))
    assert np.sqrt(np.diag(found.covariance)).max() == pytest.approx(Prior().shift)


def test_labels_move_the_side_that_they_speak_of() -> None:
    rng = np.random.default_rng(7)
    seen = labelled(rng, scored(rng, 4000), above=1.0)
    found = recalibrated(seen, np.full(4000, BEFORE), 0, Prior())
    moved = found.probabilities(seen.scored, np.full(4000, BEFORE))
    low = ~seen.scored.positive
    assert moved[low].mean() == pytest.approx(seen.is_spam[low].mean(), abs=0.01)
    assert moved[~low].mean() == pytest.approx(seen.is_spam[~low].mean(), abs=0.01)


def test_a_known_change_lets_the_calibration_step_further() -> None:
    rng = np.random.default_rng(8)
    parts = [labelled(rng, scored(rng, 2000)), labelled(rng, scored(rng, 200), above=1.5)]
    moments = np.repeat([BEFORE, 0], [2000, 200])
    held = recalibrated(joined(parts), moments, 1, Prior())
    free = recalibrated(joined(parts), moments, 1, Prior(), changes={0})
    now = np.zeros(200, np.int64)
    low = ~parts[1].scored.positive
    seen = parts[1].is_spam[low].mean()
    errors = [
        abs(one.probabilities(parts[1].scored, now)[low].mean() - seen) for one in (held, free)
    ]
    assert errors[1] < errors[0] / 2


@pytest.mark.parametrize("seed", range(8))
def test_the_fit_ends_at_its_optimum_however_wrong_scores_are(seed: int) -> None:
    """Whole Newton steps oscillate here: sure scores, and labels that say the opposite."""
    rng = np.random.default_rng(seed)
    odds = rng.choice([-18.0, -9.0, 9.0, 18.0], 900)
    rows = Scored(odds, odds > 0, np.full(900, "en"), np.zeros((900, 0)))
    seen = Labelled(rows, (odds < 0) ^ (rng.random(900) < 0.1))
    moments, prior = rng.integers(BEFORE, 6, 900), Prior()
    found = recalibrated(seen, moments, 6, prior, changes={3})
    columns = found.columns(rows, moments)
    steps = [prior.change if number == 3 else prior.step for number in range(6)]
    deviations = np.array([prior.slope, *[prior.shift, prior.by_slice, *steps] * 2])
    missed = seen.is_spam - found.probabilities(rows, moments)
    gradient = columns.T @ missed - found.shifts / deviations**2
    assert np.abs(gradient).max() < 1e-4


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one row an event"):
        Scored(np.zeros(2), np.zeros(1, bool), np.array(["en", "en"]), np.zeros((2, 0)))


def test_a_quiet_window_is_estimated_and_believed() -> None:
    rng = np.random.default_rng(9)
    reference = labelled(rng, scored(rng, 2000))
    windows = [observed(rng) for _ in range(3)]
    found = estimate_window(reference, [window for window, _ in windows])
    assert found.recall is not None
    assert found.recall.value == pytest.approx(windows[-1][1], abs=0.03)
    assert found.recall.low <= windows[-1][1] <= found.recall.high
    assert not found.unreliable
    assert found.changed is None


def test_labels_that_contradict_flag_the_window_and_move_the_estimate() -> None:
    rng = np.random.default_rng(10)
    reference = labelled(rng, scored(rng, 2000))
    quiet, (window, recall) = [observed(rng)[0] for _ in range(3)], observed(rng, above=1.5)
    found = estimate_window(reference, [*quiet, window])
    assert found.unreliable
    assert found.changed == 3
    assert found.surprise[0] > Limits().contradiction
    assert "let through" in found.reasons[0]
    blind = Observed(window.scored, window.labelled.take(np.zeros(400, bool)))
    unaware = estimate_window(reference, [*quiet, blind])
    assert found.recall is not None
    assert unaware.recall is not None
    assert abs(found.recall.value - recall) < abs(unaware.recall.value - recall) / 2


def test_a_language_that_nobody_labelled_flags_the_window() -> None:
    rng = np.random.default_rng(11)
    reference = labelled(rng, scored(rng, 2000))
    window, _ = observed(rng, name="xx")
    found = estimate_window(reference, [window])
    assert found.unseen == 1.0
    assert any("like none that was labelled" in reason for reason in found.reasons)


def test_content_far_from_what_was_labelled_is_unseen() -> None:
    rng = np.random.default_rng(12)
    known, alike = scored(rng, 1500), scored(rng, 1500)
    assert unseen_share(known, alike) < 0.02
    far = Scored(*(np.concatenate(pair) for pair in zip(
        *((one.log_odds, one.positive, one.slices, one.features)
          for one in (scored(rng, 1200), scored(rng, 300, place=6.0))), strict=True)))  # fmt: skip
    assert unseen_share(known, far) == pytest.approx(0.2, abs=0.05)


def test_few_labels_make_a_wide_interval_that_decides_nothing() -> None:
    rng = np.random.default_rng(13)
    reference = labelled(rng, scored(rng, 40))
    window, _ = observed(rng, labels=5)
    found = estimate_window(reference, [window])
    assert any("too few labels" in reason for reason in found.reasons)


def test_nothing_to_estimate_is_refused() -> None:
    rng = np.random.default_rng(14)
    with pytest.raises(ValueError, match="at least one"):
        estimate_window(labelled(rng, scored(rng, 50)), [])
