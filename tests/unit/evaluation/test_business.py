"""The section Business, from a made lake: who was wronged, what spam reached, what is a gap."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from sqlalchemy import func, insert, select

from data_contracts.actions import Action, ActionKind
from data_contracts.config import Settings, load_settings
from evaluation.metrics import Estimate
from evaluation.monitoring.anomaly.series import from_reports
from evaluation.monitoring.business import (
    business_report,
    engagement_alert,
    exposure_alert,
)
from evaluation.monitoring.business_exposure import Exposure
from evaluation.monitoring.business_histories import read_histories
from evaluation.monitoring.business_page import business
from evaluation.monitoring.business_wronged import APPEAL, AUDIT, REMEDY, Wronged, wronged_accounts
from evaluation.monitoring.engagement import Effect
from evaluation.monitoring.engagement_matching import NEVER
from pipelines import lake
from pipelines.action_log import write_actions
from pipelines.labelling.appeal_tables import APPEALS, PENDING_EFFECTS
from pipelines.labelling.appeal_tables import METADATA as APPEAL_METADATA
from pipelines.state import create_tables, open_state
from serving.incidents.remedy_ledger import ACTIONS as REMEDIED
from serving.incidents.remedy_ledger import METADATA as REMEDY_METADATA
from serving.incidents.remedy_ledger import REMEDIES
from tests.unit.evaluation.made_lake import at, write_labels, write_verdicts

FIRST = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAYS = [(FIRST + timedelta(days=n)).date().isoformat() for n in range(24)]
ACTED = 15  # the day of the wrongful actions
NOW = FIRST + timedelta(days=24)
ACCOUNTS, WRONGED = 160, 40
LIMITS = load_settings().monitoring.business


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path)})


def write_posts(folder: Path, day: str, accounts: list[str]) -> None:
    """A post of each account, at noon."""
    records = [
        {
            "event_id": f"{day}-{account}", "text": "hello", "occurred_at": at(day),
            "account_hash": account, "language": "en-GB", "media": "[]",
            "context": orjson.dumps({"account_created_at": "2025-01-01T00:00:00+00:00"}).decode(),
            "source": "made",
        }
        for account in accounts
    ]  # fmt: skip
    lake.write(folder, "events", day, lake.rows("events", records))


def contested(account: str, day: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"{day}-{account}", "revision": 0, "account": account, "action": "block",
        "score": 0.9, "reasons": ["links"], "language": "en", "modality": "text",
        "model_version": "m1", "threshold_version": "t1", "decided_at": at(day), **more,
    }  # fmt: skip


def write_appeal(settings: Settings, account: str, day: str, state: str = "overturned") -> None:
    engine = open_state(settings.state_url)
    create_tables(engine, APPEAL_METADATA)
    row = contested(account, day) | {
        "id": f"{account}-{day}", "statement": "it was mine", "origin": "account", "state": state,
        "submitted_at": NOW - timedelta(minutes=30), "due_at": NOW, "closed_at": NOW - timedelta(
            minutes=10), "why": "",
        "reviewer": "rae",
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(APPEALS), [row])
        connection.execute(insert(PENDING_EFFECTS), [{"appeal": row["id"], "effect": "label"}])
    engine.dispose()


def write_remedy(settings: Settings, account: str, day: str, outcome: str = "wrongful") -> None:
    """As serving's own ledger writes it, so that what is read here is what stands there."""
    engine = open_state(settings.state_url)
    create_tables(engine, REMEDY_METADATA)
    row = {
        "remedy": "r1", "event_id": f"{day}-{account}", "revision": 0,
        "contested": contested(account, day, decided_at=at(day).isoformat()),
        "champion_action": "allow", "champion_score": 0.1, "champion_reasons": [],
        "event_from": "lake", "outcome": outcome, "state": "listed",
    }  # fmt: skip
    with engine.begin() as connection:
        if connection.scalar(select(func.count()).select_from(REMEDIES)) == 0:
            begun = {"start": NOW, "end": NOW, "begun_at": NOW, "id": "r1", "version": "m1"}
            champion = {"champion": "m0", "champion_thresholds": "t0"}
            connection.execute(insert(REMEDIES), [begun | champion])
        connection.execute(insert(REMEDIED), [row])
    engine.dispose()


def give(account: str, kind: ActionKind, target: str, day: str, count: int) -> list[Action]:
    return [Action(account, kind, target, at(day) + timedelta(minutes=n + 1)) for n in range(count)]


def write_platform(settings: Settings, loss: float, appealed: bool = True) -> None:
    """Accounts post daily and view others; on the day, WRONGED of them are blocked, wrongly."""
    rng = np.random.default_rng(4)
    names = [f"{n:03d}" for n in range(ACCOUNTS)]
    level = rng.integers(3, 8, ACCOUNTS)
    for number, day in enumerate(DAYS):
        write_posts(settings.lake, day, names)
        wronged = names[:WRONGED] if number == ACTED else []
        write_verdicts(
            settings.lake, day,
            {f"{day}-{name}": "block" if name in wronged else "allow" for name in names},
        )  # fmt: skip
        actions = []
        for row, name in enumerate(names):
            kept = 1 - loss if row < WRONGED and number > ACTED else 1.0
            count = int(rng.poisson(level[row] * kept))
            actions += give(name, "view", names[(row + 1) % ACCOUNTS], day, count)
        write_actions(settings.lake, day, actions)
    if appealed:
        for name in names[:WRONGED]:
            write_appeal(settings, name, DAYS[ACTED])


def test_wronged_accounts_come_from_appeals_remedies_and_labels_by_chance(
    settings: Settings,
) -> None:
    day, later = DAYS[0], DAYS[1]
    names = ["appealed", "remedied", "audited", "chosen", "spammer", "let", "upheld"]
    for one in (day, later):
        write_posts(settings.lake, one, names)
        ids = {f"{one}-{name}": "block" if name != "let" else "allow" for name in names}
        write_verdicts(settings.lake, one, ids)
    write_labels(settings.lake, day, {f"{day}-audited": "ham", f"{day}-let": "ham"})
    write_labels(settings.lake, day, {f"{day}-spammer": "spam"})
    write_labels(settings.lake, later, {f"{later}-chosen": "ham"}, None, "uncertainty")
    for account in ("appealed", "spammer"):
        write_appeal(settings, account, day)
    write_appeal(settings, "appealed", later)
    write_appeal(settings, "upheld", day, "upheld")
    write_remedy(settings, "remedied", later)
    write_remedy(settings, "chosen", later, "confirmed")
    found = wronged_accounts(settings.lake, settings.state_url, DAYS)
    assert {one.release for one in found} == {"m1"}
    assert {(one.account, one.day, one.source) for one in found} == {
        ("appealed", day, APPEAL), ("remedied", later, REMEDY), ("audited", day, AUDIT),
    }  # fmt: skip
    assert wronged_accounts(settings.lake, settings.state_url, [later])[0].day == later


def test_what_wrongful_actions_cost_is_estimated_told_and_shown(settings: Settings) -> None:
    write_platform(settings, loss=0.6)
    section = business_report(settings, NOW, 1, {"action": Counter(block=40)})
    found = section["engagement"]
    assert found["verdict"] == "estimated"
    assert found["of"]["matched"] + found["of"]["unmatched"] == WRONGED
    assert found["of"]["sources"] == {APPEAL: WRONGED}
    assert found["of"]["releases"] == {"m1": WRONGED}
    # of a post and about 5 views a day, six in ten views went
    assert found["relative"]["low"] < -0.5 < found["relative"]["high"] < -0.3
    assert found["placebo"] <= 0.05
    assert [one["name"] for one in section["alerts"]] == ["EngagementLost"]
    assert section["appeals"]["success"]["overturned"] == WRONGED
    assert section["appeals"]["decided"] == section["appeals"]["submitted"] == WRONGED
    report = {"window": {"end": NOW.isoformat()}, "business": section}
    series = from_reports([report])
    assert {"business.engagement.relative.value", "business.enforcement.by.action.block"} <= {
        *series
    }
    assert not any("matched" in path or "sources" in path for path in series)
    html = "".join(business(section))
    assert "<svg" in html
    assert "nan" not in html
    assert orjson.loads(orjson.dumps(section)) == section


def test_a_day_without_actions_is_unknown_and_earlier_actions_leave_an_account_out(
    settings: Settings,
) -> None:
    write_platform(settings, loss=0.0)
    (settings.lake / "actions" / f"day={DAYS[3]}" / "part-0.parquet").unlink()
    (settings.lake / "actions" / f"day={DAYS[3]}").rmdir()
    write_verdicts(settings.lake, DAYS[2], {f"{DAYS[2]}-000": "limit"}, revision=1)
    wronged = wronged_accounts(settings.lake, settings.state_url, DAYS)
    histories = read_histories(settings.lake, wronged, DAYS)
    assert histories is not None
    assert np.isnan(histories.activity[:, 3]).all()
    assert not np.isnan(np.delete(histories.activity, 3, axis=1)).any()
    assert int((histories.acted_on != NEVER).sum()) == WRONGED - 1
    assert int(histories.comparable.sum()) == ACCOUNTS - WRONGED
    assert read_histories(settings.lake, wronged, []) is None


def test_without_actions_the_cost_is_a_gap_and_no_zero(settings: Settings) -> None:
    write_posts(settings.lake, DAYS[0], ["a"])
    write_verdicts(settings.lake, DAYS[0], {f"{DAYS[0]}-a": "block"})
    section = business_report(settings, NOW, 1, {})
    assert (section["engagement"], section["exposure"], section["appeals"]) == (None, None, None)
    assert ["no day of actions" in gap for gap in section["gaps"]] == [True, True]
    assert section["enforcement"]["over_time"] == [{"day": DAYS[0], "actions": {"block": 1}}]
    assert "Not known" in "".join(business(section))


def test_few_wronged_accounts_are_a_gap_with_their_number(settings: Settings) -> None:
    write_platform(settings, loss=0.0, appealed=False)
    write_appeal(settings, "000", DAYS[ACTED])
    section = business_report(settings, NOW, 1, {})
    assert section["engagement"]["relative"] is None
    assert any("1 accounts have comparable ones" in gap for gap in section["gaps"])


def test_views_and_reports_of_spam_are_weighed_by_the_chance_of_its_draw(
    settings: Settings,
) -> None:
    """60 posts are let through and half of them drawn: 10 of the drawn are spam, each seen thrice
    and reported once; views of the account's later post, and of ham, are no views of spam.
    """
    day = DAYS[-1]
    names = [f"{n:03d}" for n in range(60)]
    write_posts(settings.lake, day, names)
    write_verdicts(settings.lake, day, {f"{day}-{name}": "allow" for name in names})
    labels = {f"{day}-{name}": "spam" if n < 10 else "ham" for n, name in enumerate(names[:30])}
    write_labels(settings.lake, day, labels, 0.5)
    actions = [one for n, name in enumerate(names) for one in give("x", "view", name, day, 3)]
    actions += [one for name in names[:10] for one in give("y", "report", name, day, 1)]
    actions += [Action("x", "view", "000", at(day) - timedelta(hours=1))]
    write_actions(settings.lake, day, actions)
    found = business_report(settings, NOW, 1, {})["exposure"]
    assert (found["of"]["labels"], found["of"]["spam"]) == (30, 10)
    assert found["views"]["value"] == pytest.approx(10 * 3 / 0.5)
    assert found["reports"]["value"] == pytest.approx(10 * 1 / 0.5)
    assert (found["of"]["all_views"], found["of"]["all_reports"]) == (181, 10)
    assert found["views"]["low"] < 60 < found["views"]["high"]
    assert found["share"]["value"] == pytest.approx(60 / 181)


SURE = Effect(40, 0, 0, "estimated", 5.0, relative=Estimate(-0.3, -0.4, -0.2), placebo=0.01)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (SURE, True),
        (replace(SURE, relative=Estimate(-0.3, -0.5, -0.05)), False),  # perhaps a loss of .05
        (replace(SURE, verdict="trends_differ"), False),
        (replace(SURE, placebo=0.2), False),
        (None, False),
    ],
)
def test_a_loss_is_told_only_where_it_is_sure_and_the_checks_agree(
    found: Effect | None, told: bool
) -> None:
    wronged = [Wronged(str(n), DAYS[0], "7" if n < 30 else "8", APPEAL) for n in range(40)]
    alert = engagement_alert(found, wronged, LIMITS, NOW)
    assert (alert is not None) == told
    if alert is not None:
        assert alert.severity_hint == "ticket"
        assert alert.likely_cause.endswith("by release 7 (30), 8 (10)")
        assert "FalsePositive" not in alert.name  # whose playbook rolls a release back by itself


def test_spam_that_is_seen_is_told_where_it_is_surely_too_much() -> None:
    seen = Exposure(("d",), 100, 20, 1000, 3, share=Estimate(0.2, 0.1, 0.3))
    alert = exposure_alert(seen, LIMITS, NOW)
    assert alert is not None
    assert alert.value == 0.2
    assert exposure_alert(replace(seen, share=Estimate(0.2, 0.01, 0.3)), LIMITS, NOW) is None
    assert exposure_alert(replace(seen, share=None), LIMITS, NOW) is None
