"""Who may take over from whom: the newest gateway of the home that still runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest

from data_contracts.errors import BadInput
from serving.rollout.gateway_generation import Generation, hot_restart, running_generation


@pytest.fixture
def other() -> Iterator[psutil.Process]:
    """A process that runs, as a gateway would."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield psutil.Process(process.pid)
    process.kill()
    process.communicate()


def noted(run: Path) -> list[tuple[int, int]]:
    return [(one["epoch"], one["pid"]) for one in orjson.loads((run / "gateway.json").read_bytes())]


def test_the_first_takes_a_base_id_of_its_own(tmp_path: Path) -> None:
    arguments = hot_restart(tmp_path, Generation(0))
    assert arguments[:3] == [
        "--use-dynamic-base-id", "--base-id-path", str(tmp_path / "gateway-base-id"),
    ]  # fmt: skip
    assert noted(tmp_path) == [(0, os.getpid())]
    assert running_generation(tmp_path).epoch == 0


def test_the_next_has_the_same_base_id_and_an_epoch_more(
    tmp_path: Path, other: psutil.Process
) -> None:
    old = {"epoch": 0, "pid": other.pid, "started": other.create_time()}
    (tmp_path / "gateway.json").write_bytes(orjson.dumps([old]))
    (tmp_path / "gateway-base-id").write_text("37\n")
    arguments = hot_restart(tmp_path, running_generation(tmp_path).following())
    assert arguments[:4] == ["--base-id", "37", "--restart-epoch", "1"]
    assert noted(tmp_path) == [(0, other.pid), (1, os.getpid())]


def test_a_take_over_that_failed_leaves_the_old_one_to_be_replaced(
    tmp_path: Path, other: psutil.Process
) -> None:
    old = {"epoch": 2, "pid": other.pid, "started": other.create_time()}
    dead = {"epoch": 3, "pid": other.pid, "started": other.create_time() - 60}  # a reused id
    (tmp_path / "gateway.json").write_bytes(orjson.dumps([old, dead]))
    assert running_generation(tmp_path).epoch == 2


def test_without_a_running_gateway_there_is_nobody_to_take_over_from(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no gateway of this home runs"):
        running_generation(tmp_path)
