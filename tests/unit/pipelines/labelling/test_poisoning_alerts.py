"""A quarantine of labels is heard of by incident response, once a batch, as one incident a day."""

from __future__ import annotations

from datetime import UTC, datetime

from data_contracts.config import load_settings
from pipelines.labelling.label_evidence import Judgement
from pipelines.labelling.poisoning_alerts import poisoning_alerts
from serving.incidents.playbooks import load_playbooks
from serving.incidents.triage import cause_key

NOW = datetime(2026, 1, 5, tzinfo=UTC)
DAY = "2026-01-04"
GUILTY = [Judgement(f"{DAY}/ada", True, ()), Judgement(f"{DAY}/bo", True, ())]
HONEST = [Judgement(f"{DAY}/cy", False, ())]


def test_only_quarantined_batches_are_told_of_and_they_are_one_incident() -> None:
    alerts = poisoning_alerts(DAY, [*GUILTY, *HONEST], NOW)
    assert [alert.subject["batch"] for alert in alerts] == [f"{DAY}/ada", f"{DAY}/bo"]
    assert len({alert.fingerprint for alert in alerts}) == 2
    assert len({cause_key(alert) for alert in alerts}) == 1


def test_an_honest_day_says_nothing() -> None:
    assert poisoning_alerts(DAY, HONEST, NOW) == []


def test_the_shipped_playbook_freezes_training_without_a_person() -> None:
    book = load_playbooks(load_settings({}).incidents.playbooks).for_alerts(
        poisoning_alerts(DAY, GUILTY, NOW)
    )
    assert book is not None
    assert [step.mitigation for step in book.steps if step.automatic] == ["freeze_training"]
