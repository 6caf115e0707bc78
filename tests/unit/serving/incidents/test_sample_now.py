"""People are asked to look once, through Airflow's API, and nothing that is frozen thaws."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection

from data_contracts.config import load_settings
from data_contracts.errors import NothingToDo, WeirError
from data_contracts.steps import load_steps
from pipelines import switches
from pipelines.state import open_state
from pipelines.switches import Hold
from serving.approval.airflow import DagRuns
from serving.incidents.mitigation import CannotMitigate, Case
from serving.incidents.playbooks import check_parameters, load_playbooks
from serving.incidents.sample_now import DAG, SampleNow
from serving.incidents.triage import Incident
from tests.stand_ins.airflow_api import PASSWORD, AirflowStandIn, airflow_stand_in
from tests.stand_ins.incident_world import alert
from training.train_command import refuse_while_frozen

NOW = datetime(2026, 1, 5, 3, tzinfo=UTC)
LIMITS = load_playbooks(load_settings({}).incidents.playbooks).mitigations


def no_fence(_connection: Connection) -> None: ...


@pytest.fixture
def airflow() -> Iterator[AirflowStandIn]:
    with airflow_stand_in() as found:
        yield found


def sample_now(airflow: AirflowStandIn) -> SampleNow:
    runs = DagRuns(airflow.url, "approval", PASSWORD, DAG)
    return SampleNow(
        lambda: runs,
        lambda given: check_parameters("sample_now", dict(given), LIMITS),
        lambda: NOW,
    )


def case(budget: object = 300) -> Case:
    incident = Incident(1, "NewCampaign", "c", "minor", "open", NOW, NOW, NOW, NOW)
    return Case(incident, [alert("NewCampaign", at=NOW)], {"budget": budget}, "incident-1-1-0")


def test_todays_sampling_is_started_once_under_the_actions_key(airflow: AirflowStandIn) -> None:
    mitigation = sample_now(airflow)
    target = mitigation.prepare(case())
    assert not mitigation.is_done(target)
    mitigation.act(target, no_fence)
    mitigation.act(target, no_fence)  # killed before it was written down
    assert mitigation.is_done(target)
    assert airflow.runs == {"incident-1-1-0__2026-01-05": {"day": "2026-01-05", "budget": 300}}


def test_a_run_that_failed_is_said_and_not_taken_for_done(airflow: AirflowStandIn) -> None:
    mitigation = sample_now(airflow)
    target = mitigation.prepare(case())
    mitigation.act(target, no_fence)
    airflow.states[target["run_id"]] = "failed"
    assert not mitigation.is_done(target)
    with pytest.raises(WeirError, match="clear its failed task"):
        mitigation.act(target, no_fence)


@pytest.mark.parametrize("budget", [0, 401, "300", None])
def test_nobody_may_ask_people_for_more_than_the_limit(
    airflow: AirflowStandIn, budget: object
) -> None:
    with pytest.raises(CannotMitigate, match="give 1 to 400 reviews"):
        sample_now(airflow).prepare(case(budget))


def test_without_airflow_or_with_one_that_is_down_it_says_so(airflow: AirflowStandIn) -> None:
    mitigation = sample_now(airflow)
    target = mitigation.prepare(case())
    airflow.down = True
    with pytest.raises(WeirError, match="503"):
        mitigation.act(target, no_fence)
    with pytest.raises(CannotMitigate, match=r"approval\.airflow_url"):
        SampleNow(None, lambda _: None, lambda: NOW).prepare(case())


def test_there_is_nothing_to_undo_and_it_says_so(airflow: AirflowStandIn) -> None:
    mitigation = sample_now(airflow)
    with pytest.raises(CannotMitigate, match="nothing to undo"):
        mitigation.undo(mitigation.prepare(case()), no_fence)


def test_a_training_that_is_frozen_stays_frozen(airflow: AirflowStandIn, tmp_path: Path) -> None:
    """Its labels may start the training's DAG, whose first step heeds the switch."""
    settings = load_settings({"WEIR_HOME": str(tmp_path)})
    engine = open_state(settings.state_url)
    switches.prepare(engine)
    with engine.begin() as connection:
        switches.hold(connection, Hold(switches.FREEZE_TRAINING, "k", {}, "ada", "poisoned", NOW))
    mitigation = sample_now(airflow)
    mitigation.act(mitigation.prepare(case()), no_fence)
    assert "--if-new-labels" in load_steps().step("train").arguments
    with pytest.raises(NothingToDo, match="training is frozen: poisoned"):
        refuse_while_frozen(settings)
