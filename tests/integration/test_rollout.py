"""Whole rollouts: real Envoy, a real controller process, stand-in servers, steady clients.

Every test runs under load that never retries, and not one request may fail.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from data_contracts.config import PROJECT
from tests.stand_ins.data_plane import Laboratory, Load, laboratory, wait_for

pytestmark = pytest.mark.services

STEPS = [
    {"phase": "shadow", "weight": 0, "minimum_seconds": 0.5, "minimum_requests": 40},
    {"phase": "canary", "weight": 25, "minimum_seconds": 0.5, "minimum_requests": 30},
    {"phase": "canary", "weight": 50, "minimum_seconds": 0.5, "minimum_requests": 40},
]
WIDE = {"tolerance": 0.02, "margin": 0.3}  # what thirty requests of an equal model can exclude


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """Gateway, controller and a first champion."""
    home = tmp_path_factory.mktemp("home")
    with laboratory(
        home,
        ROLLOUT__STEPS=STEPS,
        ROLLOUT__POLL_SECONDS=0.1,
        ROLLOUT__PROGRESS_DEADLINE_SECONDS=30,
        ROLLOUT__METRICS__ERRORS=WIDE,
        ROLLOUT__METRICS__DISAGREEMENT=WIDE,
        ROLLOUT__METRICS__LATENCY_P50={"tolerance": 3.0, "margin": 15.0},
    ) as lab:
        lab.start_gateway()
        lab.start_controller()
        assert lab.ended(lab.roll_out()).phase == "done"
        yield lab


@pytest.fixture
def lab(running: Laboratory) -> Iterator[Laboratory]:
    """The same, under load."""
    with Load(running.url) as load:
        yield running
    assert load.sent > 0
    assert load.failures == []


def test_first_champion_goes_straight_to_full(running: Laboratory) -> None:
    first = running.store.latest("1")
    assert first is not None
    assert [entry["phase"] for entry in running.store.history(first)] == ["pending", "full"]
    assert running.registered("champion")[0] == "1"


def test_a_good_version_takes_every_step_and_becomes_the_champion(lab: Laboratory) -> None:
    rollout = lab.ended(lab.roll_out())
    history = lab.store.history(rollout)
    assert rollout.phase == "done"
    assert [(entry["phase"], entry["weight"]) for entry in history] == [
        ("pending", 0), ("shadow", 0), ("canary", 25), ("canary", 50), ("full", 100),
    ]  # fmt: skip
    assert all(entry["verdict"] == "pass" for entry in history[1:4])
    assert all(entry["requests"] >= 30 and entry["measurements"] for entry in history[1:4])
    assert lab.registered("champion")[-1] == rollout.version
    wait_for(lambda: list(lab.target.deployed()) == [rollout.canary_slot], "old servers removed")


def test_a_killed_canary_server_is_restarted_and_the_rollout_goes_on(lab: Laboratory) -> None:
    rollout = lab.roll_out()
    lab.at(rollout, "canary 25 %")
    lab.kill_server(rollout.canary_slot)
    ended = lab.ended(rollout)
    assert (ended.phase, ended.restarts) == ("done", 1), lab.log("controller")


def test_a_canary_server_that_dies_twice_is_rolled_back_with_the_reason(lab: Laboratory) -> None:
    ended = lab.ended(lab.roll_out("dies=30"))
    assert ended.phase == "rolled_back"
    assert "died again after a restart" in ended.reason
    assert lab.registered("dropped")[-1] == ended.version


def test_a_killed_controller_is_replaced_by_one_that_resumes(lab: Laboratory) -> None:
    rollout = lab.roll_out()
    lab.at(rollout, "canary 25 %")
    lab.kill("controller")
    lab.start_controller()
    assert lab.ended(rollout).phase == "done"


@pytest.mark.parametrize(
    ("behaviour", "metric"),
    [("errors=0.6", "error rate"), ("slow=120", "latency"), ("disagrees", "only one of both acts"),
     ("live,errors=0.6", "error rate"), ("live,slow=120", "latency")],
)  # fmt: skip
def test_a_bad_version_is_rolled_back_and_the_reason_names_the_metric(
    lab: Laboratory, behaviour: str, metric: str
) -> None:
    stable = lab.store.stable()
    ended = lab.ended(lab.roll_out(behaviour))
    assert ended.phase == "rolled_back"
    assert metric in ended.reason
    left = lab.store.history(ended)[-2]["phase"]
    assert left == ("canary" if "live" in behaviour else "shadow")
    assert lab.store.stable() == stable
    assert lab.registered("dropped")[-1] == ended.version


@pytest.mark.parametrize(
    ("behaviour", "label"),
    [("never-ready", "pending"), ("good", "shadow"), ("good", "canary 50 %"), ("good", "full")],
)
def test_a_rollout_can_be_aborted_at_every_phase(
    lab: Laboratory, behaviour: str, label: str
) -> None:
    rollout = lab.roll_out(behaviour)
    reached = lab.store.latest(rollout.version)

    def there() -> bool:
        nonlocal reached
        reached = lab.store.latest(rollout.version)
        return reached is not None and reached.label == label

    wait_for(there, label)
    lab.store.ask("abort")
    assert lab.ended(rollout).phase == "aborted"
    wait_for(lambda: len(lab.target.deployed()) == 1, "canary and baseline removed")


def test_a_paused_rollout_keeps_its_weights_until_it_is_resumed(lab: Laboratory) -> None:
    rollout = lab.roll_out()
    lab.at(rollout, "canary 25 %")
    lab.store.ask("pause")
    lab.at(rollout, "paused in canary 25 %")
    traffic = lab.target.traffic()
    assert traffic is not None
    assert traffic.visible_share(rollout.canary_slot) == 25
    lab.store.ask("resume")
    assert lab.ended(rollout).phase == "done"


def test_a_version_that_lost_its_approval_never_meets_traffic(lab: Laboratory) -> None:
    ended = lab.ended(lab.roll_out(approved=False))
    assert ended.phase == "rolled_back"
    assert "nobody approved it" in ended.reason
    phases = [entry["phase"] for entry in lab.store.history(ended)]
    assert phases == ["pending", "rolling_back"]


def test_a_busy_port_is_named_with_its_setting(running: Laboratory) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "serving", "gateway"],
        env=running.environment, cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert second.returncode == 2
    assert "serving.gateway_port" in second.stderr
    assert "WEIR__SERVING__GATEWAY_PORT" in second.stderr


def test_a_gateway_is_replaced_in_the_middle_of_a_rollout(lab: Laboratory) -> None:
    rollout = lab.roll_out()
    lab.at(rollout, "canary 25 %")
    lab.take_over_gateway()
    assert lab.ended(rollout).phase == "done"


def test_clients_cannot_unload_the_model_through_the_gateway(running: Laboratory) -> None:
    gateway = f"http://127.0.0.1:{running.plane.gateway_port}"
    answer = httpx.post(f"{gateway}/v2/repository/models/spam/unload", timeout=5)
    assert answer.status_code == 403
    assert "rollout" in answer.json()["error"]
