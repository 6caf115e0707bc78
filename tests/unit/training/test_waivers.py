"""A waiver is worth what its signature, its subject and its days say, and nothing more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from data_contracts.errors import BadInput, MissingPart
from training.registry import ModelVersion
from training.waivers import (
    Waiver,
    WaiverRules,
    draft,
    private_key_of,
    problem,
    public_key,
    read_waiver,
    signed,
)

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
KEY = "07" * 32
RULES = WaiverRules({"grace": public_key(KEY)}, 14)
REPORT, ARTEFACT, OTHER = (f"sha256:{letter * 64}" for letter in "abc")
VERSION = ModelVersion(
    "spam", 3, "r", "models:/m", NOON,
    {"weir.gate.golden": f"not_enough_evidence {REPORT}", "weir.artefact": ARTEFACT}, (),
)  # fmt: skip


def _draft(version: ModelVersion = VERSION, **changes: object) -> Waiver:
    values = {
        "reason": "few labels so far", "by": "grace", "until": date(2026, 1, 19), "now": NOON,
        **changes,
    }  # fmt: skip
    return draft(version, "golden", **values)  # type: ignore[arg-type]


def _problem(waiver: Waiver, now: datetime = NOON) -> str | None:
    return problem(waiver, VERSION, REPORT, RULES, now)


def test_a_signed_waiver_counts_to_the_end_of_its_last_day(tmp_path: Path) -> None:
    waiver = signed(_draft(), KEY)
    path = tmp_path / "waiver.json"
    path.write_text(waiver.model_dump_json())
    assert read_waiver(path) == waiver
    last = datetime(2026, 1, 19, 23, 59, 59, tzinfo=UTC)
    assert _problem(waiver, last) is None
    assert "ended on 2026-01-19" in str(_problem(waiver, last + timedelta(seconds=1)))


@pytest.mark.parametrize(
    "change",
    [
        {"version": "models:/spam/4"}, {"artefact": OTHER}, {"gate": "fairness"},
        {"report": OTHER}, {"reason": "another reason"}, {"signed_at": NOON + timedelta(days=1)},
        {"until": date(2026, 1, 18)}, {"figure": "recall"}, {"slice": "language=tr"},
        {"signature": ""}, {"signature": "no hexadecimal"}, {"signature": "00" * 64},
    ],
)  # fmt: skip
def test_no_field_can_be_changed_after_signing(change: dict[str, object]) -> None:
    changed = signed(_draft(), KEY).model_copy(update=change)
    assert "the signature is not grace's" in str(_problem(changed))


def test_a_key_of_somebody_else_does_not_sign_for_grace() -> None:
    assert "the signature is not grace's" in str(_problem(signed(_draft(), "08" * 32)))
    assert "eve may not waive" in str(_problem(signed(_draft(by="eve"), KEY)))


@pytest.mark.parametrize(
    ("tag", "said"),
    [("fail", "says fail"), ("pass", "says pass"), (None, "has not judged it")],
)
def test_only_a_recorded_lack_of_evidence_can_be_drafted(tag: str | None, said: str) -> None:
    gate = {"weir.gate.golden": f"{tag} {REPORT}"} if tag else {}
    version = replace(VERSION, tags={"weir.artefact": ARTEFACT, **gate})
    with pytest.raises(BadInput, match=said):
        _draft(version)


def test_a_short_reason_is_no_reason() -> None:
    with pytest.raises(BadInput, match="reason = 'because'"):
        _draft(reason="because")


def test_a_missing_or_broken_key_is_named_and_never_shown() -> None:
    with pytest.raises(MissingPart, match="openssl rand -hex 32"):
        private_key_of({})
    with pytest.raises(BadInput, match="WEIR_WAIVER_KEY is not 64") as caught:
        signed(_draft(), "5ec4e7")
    assert "5ec4e7" not in str(caught.value)


def test_a_file_that_is_no_waiver_is_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text('{"gate": "golden"}')
    with pytest.raises(BadInput, match=r"odd\.json is no waiver: version"):
        read_waiver(path)
    with pytest.raises(BadInput, match=r"absent\.json: No such file"):
        read_waiver(tmp_path / "absent.json")
