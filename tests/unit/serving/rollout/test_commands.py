"""The verbs: who may start, what watching returns, and how an unhappy end is told."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.errors import BadInput, ConfigurationError, WeirError
from pipelines.state import open_state
from serving.rollout.analysis import Analysis
from serving.rollout.commands import run_rollout, run_slots, start
from serving.rollout.controller import Registry
from serving.rollout.gateway import require_free
from serving.rollout.phases import Rollout, Stable, Transition
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Counters, Deployment


@dataclass(frozen=True)
class Approval:
    version: int
    approved: bool
    reason: str


def registry(*, approved: bool = True, champion: Deployment | None = None) -> Registry:
    """One version, 4, that every name stands for."""
    return Registry(
        approval=lambda name: Approval(4, approved, "" if approved else "no tag"),
        make_champion=lambda version: None,
        drop_challenger=lambda version: None,
        champion=lambda: champion,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({**os.environ, "WEIR_HOME": str(tmp_path)})


@pytest.fixture
def store(settings: Settings) -> RolloutStore:
    store = RolloutStore(open_state(settings.state_url))
    store.prepare()
    return store


def arguments(action: str, **values: object) -> argparse.Namespace:
    given = {"version": None, "model": None, "timeout": 0.0, "result": None, "watch": False}
    return argparse.Namespace(action=action, **{**given, **values})


def ended(store: RolloutStore, settings: Settings, phase: str) -> Rollout:
    """A rollout that went through shadow and then there."""
    rollout = store.start(Deployment("m", "4"), settings.rollout.steps, ("a", "b", "c"))
    rollout = store.advance(rollout, Transition("shadow", 0, "ready"), None, lambda _: None)
    rollout = store.applied(rollout, Counters(0, 0), lambda _: None)
    judged = Analysis("pass" if phase == "done" else "fail", "as measured", 120, 3)
    if phase != "done":
        back = Transition("rolling_back", 0, "error rate 40 %")
        rollout = store.advance(rollout, back, judged, lambda _: None)
        judged = None
    to = Transition("done" if phase == "done" else "rolled_back", 0, "the end")
    return store.advance(rollout, to, judged, lambda _: None)


def test_an_unapproved_version_cannot_start_and_is_told_why(
    store: RolloutStore, settings: Settings
) -> None:
    with pytest.raises(BadInput, match="version 4 is not approved: no tag"):
        start(store, registry(approved=False), settings, "4")
    assert store.latest() is None


def test_an_alias_starts_the_version_that_it_names(store: RolloutStore, settings: Settings) -> None:
    result = start(store, registry(), settings, "challenger")
    assert (result["version"], result["state"]) == ("4", "pending")
    active = store.active()
    assert active is not None
    assert active.model == Deployment("models:/spam/4", "4")


def test_starting_again_is_the_same_rollout(store: RolloutStore, settings: Settings) -> None:
    assert start(store, registry(), settings, "4") == start(store, registry(), settings, "4")


def test_the_champion_has_been_through_its_rollout(store: RolloutStore, settings: Settings) -> None:
    store.set_stable(Stable("a", Deployment("models:/spam/4", "4")), lambda _: None)
    assert start(store, registry(), settings, "4")["state"] == "done"
    assert store.latest() is None


def test_a_champion_that_only_the_registry_knows_is_stable_before_the_rollout_begins(
    store: RolloutStore, settings: Settings
) -> None:
    start(store, registry(champion=Deployment("models:/spam/3", "3")), settings, "4")
    active = store.active()
    assert active is not None
    assert not active.first


def test_watching_returns_every_judged_phase_in_order(
    store: RolloutStore, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ended(store, settings, "done")
    result = run_rollout(arguments("watch", version="4"), settings)
    assert (result["state"], result["version"]) == ("done", "4")
    (shadow,) = result["rollout"]  # type: ignore[misc]
    assert {key: shadow[key] for key in ("phase", "weight", "mirror", "requests", "errors")} == {
        "phase": "shadow", "weight": 0, "mirror": True, "requests": 120, "errors": 3,
    }  # fmt: skip
    assert shadow["verdict"] == "pass"
    assert "version 4: shadow" in capsys.readouterr().err


def test_a_rolled_back_rollout_fails_for_good_and_still_leaves_its_result(
    store: RolloutStore, settings: Settings, tmp_path: Path
) -> None:
    ended(store, settings, "rolled_back")
    file = tmp_path / "result.json"
    with pytest.raises(BadInput, match=r"version 4 was rolled back: error rate 40 %"):
        run_rollout(arguments("watch", version="challenger", result=file), settings)
    result = orjson.loads(file.read_bytes())
    assert (result["state"], result["rollout"][0]["verdict"]) == ("rolled_back", "fail")


def test_watching_gives_up_at_its_timeout_and_may_be_tried_again(
    store: RolloutStore, settings: Settings
) -> None:
    start(store, registry(), settings, "4")
    with pytest.raises(WeirError, match="still at pending") as caught:
        run_rollout(arguments("watch", version="4"), settings)
    assert caught.value.exit_code == 1


def test_watching_what_was_never_started_says_how_to_start_it(
    store: RolloutStore, settings: Settings
) -> None:
    with pytest.raises(BadInput, match="no rollout of version 9; start it"):
        run_rollout(arguments("watch", version="9"), settings)


def test_a_missing_version_is_asked_for(settings: Settings) -> None:
    with pytest.raises(BadInput, match="rollout watch needs --version"):
        run_rollout(arguments("watch"), settings)


def test_status_shows_rollout_stable_and_controller(
    store: RolloutStore, settings: Settings
) -> None:
    assert run_rollout(arguments("status"), settings) == {
        "stable": None, "rollout": None, "transitions": [], "controller": None,
    }  # fmt: skip
    ended(store, settings, "done")
    status = run_rollout(arguments("status"), settings)
    assert status["stable"] == {"slot": "a", "model_uri": "m", "version": "4"}


def test_an_abort_is_left_for_the_controller(store: RolloutStore, settings: Settings) -> None:
    start(store, registry(), settings, "4")
    result = run_rollout(arguments("abort"), settings)
    assert result == {"version": "4", "state": "pending", "requested": "abort"}


def test_slots_of_a_fresh_home_are_empty(settings: Settings) -> None:
    assert run_slots(argparse.Namespace(action="status"), settings) == {
        "slots": {}, "stopped": False,
    }  # fmt: skip


def test_a_busy_port_is_named_with_the_setting_to_change() -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"serving.gateway_port = {port}.*not free"):
            require_free("127.0.0.1", port, "serving.gateway_port")


def test_a_gateway_is_up_again_without_loading_what_models_need() -> None:
    """Until it is, nobody gets a verdict: compiled features took seconds of its start."""
    loaded = "import serving.rollout.gateway, sys; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=PROJECT
    ).stdout.split()
    assert not {"numba", "onnxruntime", "pandas", "sqlalchemy"} & set(modules)
