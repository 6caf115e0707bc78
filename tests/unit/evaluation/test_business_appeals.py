"""Success rates of appeals: slices, intervals, and when an excess is more than chance."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from scipy.stats import fisher_exact

from evaluation.monitoring.business_appeals import SIGNIFICANCE, Rate, success
from pipelines.labelling.appeal_records import Appeal, Contested
from tests.appeal_cases import NOW

ABOUT = Contested(
    "e", 0, "a" * 64, "block", 0.9, ("wording_of_spam",), "en", "text", "7", "t-1", NOW
)


def _appeal(number: int, *, overturned: bool, **about: object) -> Appeal:
    contested = replace(ABOUT, event_id=f"e{number}", **about)
    state = "overturned" if overturned else "upheld"
    return Appeal(
        contested.appeal_id, contested, "x", "account", state, NOW, NOW + timedelta(days=3), "rae",
        None, NOW, "because", "2026-01-05",
    )  # fmt: skip


def _slice(appeals: list[Appeal], dimension: str, value: str) -> Rate:
    rates = success(appeals).rates
    return next(one for one in rates if (one.dimension, one.value) == (dimension, value))


def test_shares_are_counted_by_every_slice() -> None:
    appeals = [_appeal(0, overturned=True, reasons=("a", "b")),
               _appeal(1, overturned=False, reasons=("a", "a"), language="tr")]  # fmt: skip
    assert (_slice(appeals, "reason", "a").decided, _slice(appeals, "reason", "a").overturned) == (
        2, 1,
    )  # fmt: skip
    assert _slice(appeals, "reason", "b").share.value == 1.0
    assert _slice(appeals, "language", "tr").overturned == 0
    assert _slice(appeals, "model_version", "7").share.low == pytest.approx(0.0126, abs=1e-4)


def test_nothing_decided_has_no_share_and_no_alert() -> None:
    found = success([])
    assert found.as_record()["share"] is None
    assert found.alerts(NOW) == []


def test_an_excess_at_one_reason_raises_one_alert_that_says_where() -> None:
    usual = [_appeal(n, overturned=n % 10 == 0, reasons=("links",)) for n in range(60)]
    wrong = [_appeal(100 + n, overturned=n < 15, reasons=("wording",)) for n in range(20)]
    (alert,) = success([*usual, *wrong]).alerts(NOW)
    assert dict(alert.subject) == {"reason": "wording"}
    assert (alert.value, alert.expected) == (0.75, 0.1)
    assert "15 of 20" in alert.reason
    assert "remedy" in alert.likely_cause


def test_the_test_is_fishers_and_corrected_for_the_slices() -> None:
    usual = [_appeal(n, overturned=n % 10 == 0, reasons=("links",)) for n in range(60)]
    wrong = [_appeal(100 + n, overturned=n < 15, reasons=("wording",)) for n in range(20)]
    raw = fisher_exact([[15, 5], [6, 54]], alternative="greater").pvalue
    assert _slice([*usual, *wrong], "reason", "wording").p_value == pytest.approx(2 * raw)


def test_what_is_alike_everywhere_raises_no_alert() -> None:
    """Five slices of each of two dimensions, all alike: no order of outcomes is an excess."""
    appeals = [
        _appeal(n, overturned=n % 3 == 0, reasons=(f"r{n % 5}",), language=f"l{n % 4}")
        for n in range(200)
    ]
    assert success(appeals).alerts(NOW) == []


def test_a_handful_of_appeals_is_not_enough() -> None:
    usual = [_appeal(n, overturned=False, reasons=("links",)) for n in range(60)]
    few = [_appeal(100 + n, overturned=True, reasons=("wording",)) for n in range(9)]
    assert _slice([*usual, *few], "reason", "wording").p_value is None
    assert SIGNIFICANCE < 0.05
