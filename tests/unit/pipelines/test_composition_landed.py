"""The verb `compose`: events land without their truth, and a replay's truth is left alone."""

from __future__ import annotations

import argparse
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from data_contracts.actions import MAX_ACTION_BYTES, parse_action_line
from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from data_contracts.events import parse_event_line
from pipelines import landing
from pipelines.simulation import replay
from pipelines.simulation.composition.landed import run


def settings_at(home: Path) -> Settings:
    nowhere = {"WEIR__DATA__ROOT": str(home / "no-data"), "WEIR__DATA__DOWNLOAD": "false"}
    small = {"WEIR__TRAFFIC__DAYS": "2", "WEIR__TRAFFIC__EVENTS_PER_DAY": "20"}
    return load_settings({"WEIR_HOME": str(home), **nowhere, **small})


def arguments(events: int = 80, first_day: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(events=events, first_day=first_day, held_out=False)


def test_landed_events_keep_the_contract_and_their_truth_stands_apart(tmp_path: Path) -> None:
    result = run(arguments(), settings_at(tmp_path))
    assert result["events"] == 80
    assert result["spam"] == 12
    assert result["synthetic"] == ["clips", "pictures", "profiles", "texts"]
    found, truth = set(), dict[str, str]()
    for day in result["days"]:
        table = pq.read_table(tmp_path / "truth" / f"day={day}.parquet")
        truth.update(zip(table["event_id"].to_pylist(), table["label"].to_pylist(), strict=True))
        for path in landing.files(tmp_path, day):
            for line in landing.lines(path, 100_000):
                event = parse_event_line(line.content or b"")
                assert "label" not in orjson.loads(line.content or b"")
                assert all((tmp_path / "media" / str(m.path)).is_file() for m in event.media)
                found.add(event.event_id)
    assert found == set(truth)
    actions = [
        parse_action_line(line.content or b"")
        for day in landing.days(tmp_path)
        for path in landing.action_files(tmp_path, day)
        for line in landing.lines(path, MAX_ACTION_BYTES)
    ]
    assert len(actions) == result["actions"] > 0


def test_composing_again_writes_the_same_bytes(tmp_path: Path) -> None:
    def content() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(tmp_path.rglob("*")) if p.is_file()}

    run(arguments(40), settings_at(tmp_path))
    first = content()
    run(arguments(40), settings_at(tmp_path))
    assert content() == first


def test_a_day_of_a_replay_is_refused(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    replay.run(argparse.Namespace(days=None, dataset=None), settings)
    with pytest.raises(BadInput, match="is the truth of a replay; give another --first-day"):
        run(arguments(60, settings.traffic.first_day), settings)
    assert not (tmp_path / "media").exists()


def test_impossible_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--events 0 is no number"):
        run(arguments(0), settings_at(tmp_path))
    with pytest.raises(BadInput, match="--first-day 'soon' is no day"):
        run(arguments(60, "soon"), settings_at(tmp_path))
