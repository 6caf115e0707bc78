"""Features that broke: gone or on another scale, surely, and never by chance."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from evaluation.monitoring.anomaly.feature_breaks import feature_breaks
from serving.incidents.triage import cause_key

NOW = datetime(2026, 1, 5, tzinfo=UTC)
RNG = np.random.default_rng(7)
BEFORE = {name: RNG.lognormal(5, 1, 1500) for name in ("followers", "following")}


def test_a_feature_gone_null_is_named_with_its_share() -> None:
    after = BEFORE | {"followers": np.full(1500, np.nan)}
    (alert,) = feature_breaks(BEFORE, after, NOW)
    assert alert.subject == {"feature": "followers"}
    assert "missing in 100% of events, 0% before" in alert.reason
    assert alert.severity_hint == "ticket"


def test_a_change_of_unit_is_asked_about_with_its_factor() -> None:
    after = BEFORE | {"following": BEFORE["following"] * 0.001}
    (alert,) = feature_breaks(BEFORE, after, NOW)
    assert "its median is 0.001 times what it was: a change of unit?" in alert.reason


def test_features_that_broke_together_are_one_incident() -> None:
    after = {name: np.full(1500, np.nan) for name in BEFORE}
    alerts = feature_breaks(BEFORE, after, NOW)
    assert len(alerts) == 2
    assert {cause_key(alert) for alert in alerts} == {"feature: followers, following"}


@pytest.mark.parametrize("rows", [25, 200, 1500])
def test_samples_of_one_distribution_never_break(rows: int) -> None:
    rng = np.random.default_rng(rows)
    for _ in range(200):
        before, after = ({"a": rng.lognormal(5, 1, rows)} for _ in range(2))
        assert feature_breaks(before, after, NOW) == []


def test_a_shift_that_explains_little_is_none() -> None:
    after = {name: values * 1.2 for name, values in BEFORE.items()}
    assert feature_breaks(BEFORE, after, NOW) == []
