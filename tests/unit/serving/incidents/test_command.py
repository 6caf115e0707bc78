"""`python -m serving incidents` as who is on call uses it."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput, NothingToDo
from pipelines import switches
from serving.incidents.command import run
from serving.incidents.configured import leadership_of, open_incidents, responder_of
from tests.stand_ins.incident_world import alert
from training.train_command import refuse_while_frozen


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path)})


def incidents(settings: Settings, action: str, number: int | None = None, **named: Any) -> Any:
    given = {"all": False, "by": None, "reason": None, "mitigation": None, "input": None, **named}
    return run(argparse.Namespace(action=action, number=number, **given), settings)


def respond_once(settings: Settings) -> None:
    store = open_incidents(settings)
    leadership = leadership_of(store)
    assert leadership.claim()
    responder_of(settings, store, leadership, lambda line: None).step()
    leadership.resign()


def raised(settings: Settings, *names: str) -> None:
    path = settings.home / "alerts.jsonl"
    lines = [orjson.dumps(alert(name, feature="account_age").as_record()) for name in names]
    path.write_bytes(b"\n".join(lines))
    incidents(settings, "raise", input=path)
    respond_once(settings)


def test_from_an_alert_to_the_post_mortem(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    raised(settings, "FeatureDrift")
    listed = incidents(settings, "list")["incidents"]
    assert [(one["id"], one["severity"], one["playbook"]) for one in listed] == [
        (1, "major", "traffic-drifted")
    ]
    shown = incidents(settings, "show", 1)
    commands = [one["command"] for one in shown["next"]]
    assert commands[0] == "python -m serving incidents acknowledge 1"
    assert "python -m serving incidents mitigate 1 --mitigation roll_back_release" in commands
    assert "python -m serving incidents undo 1" in commands
    told = capsys.readouterr().err
    assert "first look: Broken data, or a real change?" in told
    assert "freeze_training since" in told
    assert "nobody responds: start `python -m serving incidents respond`" in told
    # whose week it is
    assert re.search(r"nobody could be called about incident 1 \((first|second)\)", told)
    with pytest.raises(NothingToDo, match="training is frozen: incident 1: FeatureDrift"):
        refuse_while_frozen(settings)
    incidents(settings, "acknowledge", 1, by="ada")
    incidents(settings, "resolve", 1, by="ada", reason="the source was mended")
    respond_once(settings)
    refuse_while_frozen(settings)
    written = Path(incidents(settings, "post-mortem", 1)["path"])
    assert "the source was mended" in written.read_text(encoding="utf-8")
    assert incidents(settings, "list")["incidents"] == []


def test_a_mitigation_that_makes_no_sense_now_is_refused_with_its_reason(
    settings: Settings,
) -> None:
    raised(settings, "FeatureDrift")
    incidents(settings, "mitigate", 1, mitigation="roll_back_release")
    respond_once(settings)
    said = incidents(settings, "show", 1)["actions"][-1]
    assert (said["state"], said["reason"]) == ("refused", "no champion is in traffic")
    offered = [one["does"] for one in incidents(settings, "show", 1)["next"]]
    assert any("(refused: no champion is in traffic)" in does for does in offered)


def test_a_switch_that_a_person_asks_for_is_held_and_let_go(settings: Settings) -> None:
    raised(settings, "FeatureDrift")
    engine = open_incidents(settings).engine
    switches.asked(engine, [switches.PREFILTER_ONLY], "server-1", datetime.now(UTC))
    action = incidents(settings, "mitigate", 1, mitigation="prefilter_only", by="ada")["action"]
    respond_once(settings)
    assert switches.holds(engine, switches.PREFILTER_ONLY)
    incidents(settings, "undo", action, by="ada")
    respond_once(settings)
    assert not switches.holds(engine, switches.PREFILTER_ONLY)


@pytest.mark.parametrize(
    ("action", "number", "named", "problem"),
    [
        ("show", None, {}, "needs an incident's number"),
        ("show", 9, {}, "there is no incident 9; see `incidents list --all`"),
        ("undo", 9, {}, "there is no action 9"),
        ("resolve", 1, {}, "needs --reason TEXT"),
        ("mitigate", 1, {"mitigation": "pray"}, "--mitigation pray: give one of abort_rollout"),
        ("raise", None, {}, "needs --input FILE"),
    ],
)
def test_a_wrong_command_names_what_is_wrong_and_the_remedy(
    settings: Settings, action: str, number: int | None, named: dict[str, str], problem: str
) -> None:
    raised(settings, "FeatureDrift")
    with pytest.raises(BadInput) as said:
        incidents(settings, action, number, **named)
    assert problem in str(said.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [(b"{", "line 1: "), (b"[]", "line 1: "), (b"{}", "line 1: field 'severity_hint' is missing")],
)
def test_a_file_of_alerts_that_are_none_names_the_line(
    settings: Settings, tmp_path: Path, line: bytes, problem: str
) -> None:
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(line)
    with pytest.raises(BadInput, match=problem):
        incidents(settings, "raise", input=path)
