"""What stands between specialists and a score: views, records, slices, kinds, search spaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_contracts.errors import ConfigurationError
from training.activation import never_settles
from training.fused_policy import late_fusion, run_after, steps_of
from training.search_space import load_search_space
from training.sliced_calibration import fit_sliced_calibration
from training.stage_table import StageTable
from training.token_view import BOUND, TokenView
from training.weighing import Weighing, _columns, fit_weighing, track_records

NAN = np.nan


def test_a_view_puts_columns_on_one_scale_and_the_unknown_in_the_middle() -> None:
    columns = np.array([[1.0, 5.0], [3.0, 5.0], [NAN, 5.0]], np.float32)
    view = TokenView.of(columns, np.zeros((3, 0), np.float32))
    assert view.apply(columns, np.zeros((3, 0), np.float32)).tolist() == [[-1, 0], [1, 0], [0, 0]]
    assert view.width == 2


def test_a_view_keeps_the_direction_in_which_embeddings_differ() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(200, 6)).astype(np.float32) * [9, 1, 1, 1, 1, 1]
    view = TokenView.of(np.zeros((200, 0), np.float32), embeddings.astype(np.float32))
    assert abs(view.directions[0, 0]) == pytest.approx(1 / 9, rel=0.2)


def test_a_view_of_one_row_is_that_of_the_row_among_others() -> None:
    rng = np.random.default_rng(4)
    columns = rng.normal(0, 9, (50, 7)).astype(np.float32)
    columns[rng.random((50, 7)) < 0.2] = NAN
    embeddings = rng.normal(size=(50, 40)).astype(np.float32)
    view = TokenView.of(columns, embeddings)
    together = view.apply(columns, embeddings)
    embeddings.setflags(write=False)  # as a remembered vector is
    for at in range(50):
        alone = view.apply(columns[at : at + 1], embeddings[at : at + 1])
        assert alone.tobytes() == together[at : at + 1].tobytes()
    scaled = np.nan_to_num((columns - view.middle) * view.inverse, nan=0.0)
    projected = (embeddings - view.centre) @ view.directions
    expected = np.clip(np.hstack([scaled, projected]), -BOUND, BOUND)
    np.testing.assert_allclose(together, expected, atol=1e-5)


def test_a_record_is_of_the_rows_before() -> None:
    present = np.ones((4, 2), bool)
    log_odds = np.array([[4.0, -4.0], [-4.0, 4.0]] * 2)
    records = track_records(present, log_odds, np.array([1, 0, 1, 0]), recent_rows=1e9)
    assert records[0].tolist() == [0, 0]
    assert records[2, 0] > 0.9, "the first stage was right twice"
    assert records[2, 1] == 0, "the second was wrong twice"


def test_old_rows_of_a_record_fade() -> None:
    """Twenty times wrong, then twenty times right."""
    targets, is_right = np.arange(40) % 2, np.arange(40) >= 20
    log_odds = np.where(is_right == (targets == 1), 4.0, -4.0)[:, None]
    present = np.ones((40, 1), bool)
    slow, fast = (track_records(present, log_odds, targets, rows)[-1, 0] for rows in (1e9, 3.0))
    assert fast > 0.8
    assert slow == 0


def test_a_missing_stage_adds_nothing() -> None:
    weighing = Weighing((2.0, 3.0, 0, 0, 0, 0, 0, 0), 0.5, (0.0, 0.0))
    scores = weighing.score(np.array([[True, False]]), np.array([[1.0, 9.0]]))
    assert scores.tolist() == [2.5]


def test_the_compiled_score_is_what_the_fitted_columns_say() -> None:
    rng = np.random.default_rng(3)
    present, log_odds = rng.random((80, 3)) < 0.6, rng.normal(0, 8, (80, 3))
    weighing = Weighing(tuple(rng.normal(size=12).tolist()), 0.25, (0.1, 0.5, 0.9))
    columns = _columns(present, log_odds, np.array(weighing.record))
    scores = weighing.score(present, log_odds)
    np.testing.assert_allclose(scores, columns @ np.array(weighing.weights) + 0.25, atol=1e-12)
    alone = [weighing.score(present[[at]], log_odds[[at]])[0] for at in range(80)]
    assert scores.tolist() == alone


def test_the_better_stage_weighs_more() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 2, 2000)
    good, noise = 3.0 * (2 * targets - 1) + rng.normal(size=2000), rng.normal(size=2000)
    log_odds, present = np.column_stack([good, noise]), np.ones((2000, 2), bool)
    fitted = fit_weighing(present, log_odds, np.zeros((2000, 2)), targets, np.ones(2000), ridge=1.0)
    assert fitted.weights[0] > 5 * abs(fitted.weights[1])


def test_a_slice_with_labels_enough_is_calibrated_by_itself_and_a_small_one_is_not() -> None:
    rng = np.random.default_rng(2)
    targets = rng.integers(0, 2, 3000)
    log_odds = 4.0 * (2 * targets - 1) + rng.normal(0, 3, 3000)
    names = np.array(["image"] * 1500 + ["text"] * 1480 + ["video"] * 20)
    shifted = np.where(names == "image", log_odds + 5, log_odds)
    fitted = fit_sliced_calibration(shifted, targets, names)
    assert set(fitted.slices) == {"image", "text"}
    assert fitted.of("image").intercept < fitted.of("text").intercept
    assert fitted.of("video") == fitted.all_slices


def test_free_stages_always_run_and_dear_ones_one_a_step() -> None:
    tokens = ("prefilter", "text", "image", "ocr")
    free, dear = steps_of({"prefilter": 0.2, "text": 3.0, "image": 15.0, "ocr": 110.0})
    assert (free, dear) == (("prefilter",), ("text", "image", "ocr"))
    activation = never_settles(dear, [3.0, 15.0, 110.0])
    assert run_after(tokens, activation, 0).tolist() == [True, False, False, False]
    assert run_after(tokens, activation, 2).tolist() == [True, True, True, False]


def test_late_fusion_is_the_mean_of_what_is_there() -> None:
    present = np.array([[True, True], [True, False], [False, False]])
    assert late_fusion(present, np.array([[1.0, 3.0], [2.0, 0.0], [0.0, 0.0]])).tolist() == [
        2,
        2,
        0,
    ]


def table() -> StageTable:
    return StageTable(
        np.array([0, 2]), np.array([[1, 2], [3, 4]], np.float32), np.zeros((2, 0), np.float32),
        ("a", "b"), ("x", "y"), ("one", "two"),
    )  # fmt: skip


def test_a_part_of_a_table_follows_its_events() -> None:
    part = table().part(np.array([2, 1]))
    assert (part.rows.tolist(), part.columns.tolist(), part.texts) == ([0], [[3, 4]], ("b",))


def test_a_family_can_be_left_out() -> None:
    left = table().without("one")
    assert (left.names, left.columns.tolist()) == (("y",), [[2], [4]])


def test_a_default_outside_its_choices_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "version: 1\nstages:\n  text:\n    share: 1\n    parameters:\n"
        "      width: {default: 3, choices: [1, 2]}\n"
    )
    with pytest.raises(ConfigurationError, match=r"stages\.text\.parameters\.width.*default 3"):
        load_search_space(path)
