"""What bench-estimated-performance replays, and its arithmetic, on made rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_contracts.events import Event
from data_contracts.labels import LabelledEvent
from tests.performance.bench_estimated_performance import goals, reliability, rows_of
from tests.performance.estimation_replay import (
    CAMPAIGN,
    CONCEPT,
    DRIFT_FROM,
    MARKET,
    PRIOR,
    SCENARIOS,
    STEADY,
    WINDOWS,
    Sizes,
    Stage,
    corpus_of,
)
from tests.performance.estimation_rivals import RIVALS, WEIR, WITHOUT_LABELS

SIZES = Sizes(
    training=120, reference=80, auditable=100, window=100, draws=40, prevalence=(0.3, 0.4),
    mixes=({"a": 0.5, "b": 0.5}, {"a": 0.3, "b": 0.7}), unseen="c", planted=0.1, family=30,
    changed=30,
)  # fmt: skip


@pytest.fixture(scope="module")
def stage() -> Stage:
    rng = np.random.default_rng(1)
    words = np.array([f"word{number:x}z" for number in range(4000)])
    rows = []
    for name in ("a", "b", "c"):
        for number in range(400):
            spam = number % 5 < 2
            text = " ".join([*rng.choice(words, 6, replace=False), "offer" if spam else "dinner"])
            event = Event(event_id=f"{name}{number}", text=text, language="en")
            rows.append(
                LabelledEvent(
                    event=event, label="spam" if spam else "ham", dataset=name, group=None
                )
            )
    return Stage(corpus_of(rows), SIZES, seed=3)


def test_no_text_plays_two_parts(stage: Stage) -> None:
    parts = [stage.training, stage.reference, stage.auditable.rows, stage.judged.rows]
    parts += [*stage.auditable.planted.values(), *stage.judged.planted.values()]
    rows = np.concatenate(parts)
    assert len(rows) == len(np.unique(rows))


def test_one_text_stands_for_its_copies() -> None:
    event = Event(event_id="e", text="win a prize now at the market", language="en")
    row = LabelledEvent(event=event, label="spam", dataset="a", group=None)
    assert len(corpus_of([row, row]).is_spam) == 1


def test_drift_begins_when_it_says(stage: Stage) -> None:
    steady, prior, concept, market = (
        stage.replay(name).windows for name in (STEADY, PRIOR, CONCEPT, MARKET)
    )
    assert len(steady) == WINDOWS
    assert {int(one.is_spam.sum()) for one in steady} == {30}
    assert [int(one.is_spam.sum()) for one in prior][DRIFT_FROM - 1] == 30
    assert int(prior[-1].is_spam.sum()) == 40
    assert "c" not in market[DRIFT_FROM - 1].scored.slices
    assert (market[DRIFT_FROM].scored.slices == "c").sum() == 10
    known = concept[DRIFT_FROM - 1], concept[DRIFT_FROM]
    spam = [int(one.is_spam.sum()) for one in known]
    assert spam[0] == 30
    assert spam[1] < 30  # an odd seed turns spam into ham


def test_labels_come_late_and_never_of_judged_events(stage: Stage) -> None:
    audit = stage.replay(STEADY).windows[2].audit
    assert audit.known_at.min() > 2.0
    assert len(audit.by(2.5).is_spam) < len(audit.by(9.0).is_spam) <= SIZES.draws


def test_a_seed_replays_the_same(stage: Stage) -> None:
    one, other = stage.replay(CAMPAIGN), stage.replay(CAMPAIGN)
    assert one.windows[5].scored.log_odds.tolist() == other.windows[5].scored.log_odds.tolist()


def window(error: float, *, flagged: bool, number: int) -> dict[str, Any]:
    """A made row whose every estimate is `error` above a realised 0.5."""
    said = {"precision": 0.5 + error, "recall": 0.5}
    interval = {"value": 0.5 + error, "low": 0.4 - number / 1000, "high": 0.55}
    return {
        "scenario": SCENARIOS[number % len(SCENARIOS)], "seed": 1, "window": number,
        "realised": {"precision": 0.5, "recall": 0.5}, "of": {"precision": 100, "recall": 100},
        "said": dict.fromkeys((*RIVALS, WITHOUT_LABELS, WEIR), said),
        "estimate": {"precision": interval, "recall": interval},
        "flagged": flagged, "flagged_at_once": False,
    }  # fmt: skip


def test_figures_and_goals_are_worked_by_hand() -> None:
    windows = [window(0.3 if n == 7 else 0.01, flagged=n == 7, number=n) for n in range(20)]
    sure = reliability(windows)
    assert (sure["flagged"], sure["worst_flagged"], sure["as_many_worst_flagged"]) == (0.05, 1, 1)
    assert sure["error_unflagged"] == pytest.approx(0.01)
    assert sure["realised_standard_error"]["recall"] == pytest.approx(0.05)
    rows = [*rows_of(windows)]
    (precision,) = [r for r in rows if (r["method"], r["figure"]) == (WEIR, "precision")]
    assert precision["mean_absolute_error"] == pytest.approx((0.3 + 19 * 0.01) / 20)
    found = {
        goal["id"].split(".")[1]: goal["met"] for goal in goals({"rows": rows, "reliability": sure})
    }
    assert found == {"precision": False, "recall": True, "flagged": True, "worst": True}


def test_flags_that_miss_the_worst_do_not_meet_the_goal() -> None:
    windows = [window(0.3 if n == 7 else 0.01, flagged=n == 3, number=n) for n in range(20)]
    sure = reliability(windows)
    assert sure["worst_flagged"] == 0
    rows = [*rows_of(windows)]
    assert not {g["id"]: g for g in goals({"rows": rows, "reliability": sure})}[
        "estimated-performance.worst"
    ]["met"]
