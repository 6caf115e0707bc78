"""Which slice, feature, stage or release moved most: small cases with known answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from evaluation.monitoring.anomaly.causes import (
    Cause,
    Cell,
    contributions,
    moved,
    releases,
    shifted,
    tally,
)

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def language(**cells: tuple[int, int]) -> dict[str, dict[str, Cell]]:
    return {"language": {value: Cell(*cell) for value, cell in cells.items()}}


@pytest.mark.parametrize("measure", ["count", "rate"])
def test_contributions_sum_to_the_change_of_the_whole(measure: str) -> None:
    rng = np.random.default_rng(4)
    sides = []
    for _ in range(2):
        counts = rng.integers(1, 100, 5)
        hits = rng.integers(0, counts + 1)
        sides.append(
            {
                f"v{i}": Cell(int(c), int(h))
                for i, (c, h) in enumerate(zip(counts, hits, strict=True))
            }
        )
    totals = [
        (sum(c.decisions for c in s.values()), sum(c.hits for c in s.values())) for s in sides
    ]
    (n0, h0), (n1, h1) = totals
    change = n1 - n0 if measure == "count" else h1 / n1 - h0 / n0
    parts = contributions(sides[0], sides[1], measure)  # type: ignore[arg-type]
    assert sum(parts.values()) == pytest.approx(change)


def test_the_slice_that_changed_is_named_with_its_part_of_the_change() -> None:
    before = language(en=(1000, 20), tr=(1000, 20), fr=(1000, 20))
    after = language(en=(1000, 20), tr=(1000, 300), fr=(1000, 22))
    found = moved(before, after, "rate")
    assert [(one.dimension, one.values) for one in found] == [("language", ("tr",))]
    assert found[0].explained == pytest.approx(280 / 282)


def test_a_dimension_whose_values_all_moved_alike_explains_nothing() -> None:
    before = language(en=(1000, 20), tr=(1000, 20))
    after = language(en=(1000, 200), tr=(1000, 200))
    assert moved(before, after, "rate") == ()


def test_the_dimension_that_sets_the_change_apart_best_comes_first() -> None:
    """All of the new positives are Turkish, and nine in ten of them came by app."""

    def rows(turkish_every: int) -> list[tuple[dict[str, str], bool]]:
        found = []
        for at in range(4000):
            tongue = ("en", "tr", "fr", "de")[at % 4]
            hit = at % 100 == 3 or (tongue == "tr" and at % turkish_every == 1)
            by_app = at % 10 < 9 if hit else at % 2 == 0
            found.append(({"client": "app" if by_app else "web", "language": tongue}, hit))
        return found

    found = moved(tally(rows(400)), tally(rows(8)), "rate")
    assert [one.dimension for one in found] == ["language", "client"][: len(found)]
    assert found[0].values == ("tr",)


def test_a_feature_gone_null_and_one_in_another_unit_are_found() -> None:
    rng = np.random.default_rng(6)
    before = {name: rng.normal(5, 1, 500) for name in ("age", "latency", "still")}
    after = {
        "age": np.full(500, np.nan),
        "latency": before["latency"] * 1000,
        "still": rng.normal(5, 1, 500),
    }
    found = shifted(before, after)
    assert [one.name for one in found] == ["age", "latency"]
    assert found[0].as_text() == "age (missing 0% → 100%)"
    assert found[1].distance == 1.0


def test_a_release_is_the_first_decision_of_a_version_that_followed_another() -> None:
    decided = [
        (NOW - 9 * HOUR, {"model_version": "7", "threshold_version": "a"}),
        (NOW - 8 * HOUR, {"model_version": "7", "threshold_version": "a"}),
        (NOW - 2 * HOUR, {"model_version": "8", "threshold_version": "a"}),
        (NOW - 1 * HOUR, {"model_version": "7", "threshold_version": "a"}),
    ]
    found = releases(decided, NOW, within=6 * HOUR)
    assert [(one.what, one.before, one.after) for one in found] == [("model_version", "7", "8")]
    assert releases(decided, NOW, within=HOUR) == ()
    assert releases(decided[:2], NOW, within=12 * HOUR) == ()  # the first ever is no release


def test_a_cause_is_one_line_and_says_so_where_nothing_stands_out() -> None:
    assert Cause().as_text().startswith("nothing stands out")
    decided = [(NOW - 3 * HOUR, {"model_version": "7"}), (NOW - HOUR, {"model_version": "8"})]
    before, after = language(en=(10, 0), tr=(10, 0)), language(en=(10, 0), tr=(10, 9))
    cause = Cause(moved(before, after, "rate"), releases=releases(decided, NOW, 6 * HOUR))
    assert cause.as_text() == (
        "release: model_version 7 → 8 at 2026-01-05 11:00 UTC; "
        "slice: language tr (100% of the change)"
    )
