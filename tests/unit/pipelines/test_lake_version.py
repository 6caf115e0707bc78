"""The lake's versions: stable hashes, a copy in the remote, and a way back."""

from __future__ import annotations

import argparse
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dvc.repo import Repo

from data_contracts.config import load_settings
from data_contracts.errors import NothingToDo
from data_contracts.files import write_atomically
from pipelines import lake
from pipelines.golden_cases import FOLDER
from pipelines.lake_version import dataset_hashes, run

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def store(folder: Path, *names: str) -> None:
    rows = [
        {
            "event_id": name, "text": "t", "occurred_at": NOON, "account_hash": None,
            "language": None, "media": "[]", "context": "{}", "source": "set_a",
        }
        for name in names
    ]  # fmt: skip
    lake.write(folder, "events", "2026-01-05", lake.rows("events", rows))


def test_equal_lakes_have_equal_hashes_and_every_version_can_be_brought_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings({"WEIR_HOME": str(tmp_path)})
    nothing = argparse.Namespace()
    with pytest.raises(NothingToDo, match="run `python -m pipelines ingest`"):
        run(nothing, settings)

    store(settings.lake, "a")
    first = run(nothing, settings)
    assert capsys.readouterr() == ("", "")  # standard output is for the result
    assert first["changed"] == ["events"]
    assert first["dataset_hashes"] == dataset_hashes(settings.lake)
    assert run(nothing, settings) == {"dataset_hashes": first["dataset_hashes"], "changed": []}
    pointer = (settings.lake / "events.dvc").read_bytes()

    store(settings.lake, "a", "b")
    second = run(nothing, settings)
    assert second["dataset_hashes"] != first["dataset_hashes"]
    assert any((tmp_path / "dvc-remote").rglob("*.dir"))

    asked = settings.lake / FOLDER / "must_catch.jsonl"
    write_atomically(asked, b"{}\n")
    third = run(nothing, settings)
    assert third["changed"] == ["suites"]
    assert third["dataset_hashes"]["events"] == second["dataset_hashes"]["events"]

    (settings.lake / "events.dvc").write_bytes(pointer)
    shutil.rmtree(settings.lake / ".dvc" / "cache")
    with Repo(str(settings.lake)) as repository:
        repository.pull(force=True)
    assert asked.read_bytes() == b"{}\n"
    assert lake.read(settings.lake, "events")["event_id"].to_pylist() == ["a"]

    twin = load_settings({"WEIR_HOME": str(tmp_path / "twin")})
    store(twin.lake, "a")
    assert run(nothing, twin)["dataset_hashes"] == first["dataset_hashes"]
