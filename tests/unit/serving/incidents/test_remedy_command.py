"""The verb's own words: times, who may judge, and what stands in the ledger of a real model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from data_contracts.errors import BadInput
from serving.cascade import Cascade
from serving.incidents.enforced_actions import Scope
from serving.incidents.remedy_command import _refuse_the_accused, _time
from serving.incidents.remedy_report import page, share
from tests.appeal_cases import NOW


@dataclass(frozen=True)
class Assessor:
    version: str = "ensemble-abc"


CHAMPION = Cascade(cast("Any", Assessor()), "6", "t-0")


@pytest.mark.parametrize("accused", ["6", "ensemble-abc"])
def test_no_version_judges_itself(accused: str) -> None:
    scope = Scope(accused, NOW, NOW.replace(hour=13))
    with pytest.raises(BadInput, match="roll back first"):
        _refuse_the_accused(CHAMPION, scope)


def test_a_version_with_other_thresholds_may_judge_the_bad_ones() -> None:
    _refuse_the_accused(CHAMPION, Scope("6", NOW, NOW.replace(hour=13), "t-bad"))
    with pytest.raises(BadInput):
        _refuse_the_accused(CHAMPION, Scope("6", NOW, NOW.replace(hour=13), "t-0"))


def test_a_time_is_in_utc_unless_it_says_otherwise() -> None:
    assert _time("--from", "2026-01-05T14:00") == datetime(2026, 1, 5, 14, tzinfo=UTC)
    assert _time("--from", "2026-01-05T14:00+02:00") == datetime(2026, 1, 5, 12, tzinfo=UTC)
    with pytest.raises(BadInput, match="--to 'yesterday' is no time"):
        _time("--to", "yesterday")


def test_a_share_of_nothing_is_no_share() -> None:
    assert share(0, 0) == {"count": 0, "of": 0, "share": None, "low": None, "high": None}


def test_names_on_the_page_are_escaped(tmp_path: Path) -> None:
    nothing = share(0, 0)
    figures = {
        "enforced": 0, "lifted_since": 0, "taken_over_by_another_version": 0, "unreadable": 0,
        "judged_without_their_past": 0, "decided_by_a_person": 0, "wrongful": nothing,
        "milder": nothing, "confirmed": nothing, "states_of_wrongful": {},
        "by_reason": {"<script>": share(1, 2)}, "champion_beside_people": {"acts": nothing},
    }  # fmt: skip
    assert "<script>" not in page("<script>", figures, [])
