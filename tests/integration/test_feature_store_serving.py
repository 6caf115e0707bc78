"""A real model server over a real feature store: LMDB with states, and a Redis that dies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from data_contracts.actions import Action
from data_contracts.config import PROJECT, load_settings
from data_contracts.events import Event
from pipelines.accounts import hash_account
from pipelines.feature_store.freshness import note_newest
from pipelines.feature_store.lmdb import GIBIBYTE, LmdbStates
from pipelines.feature_store.opening import FOLDER, enrichment_over
from pipelines.feature_store.reading import FEATURES_UNAVAILABLE
from pipelines.feature_store.redis import RedisStates
from pipelines.feature_store.states import MemoryStates
from serving.decision_records import lines_of
from serving.replay import Versions, replay_all
from serving.stage_bounds import VersionedAssessor, WithholdingAssessor
from tests.redis_server import RedisServer, redis_server
from tests.stand_ins.modalities import NoMedia
from tests.stand_ins.remembering import KNOWN, Remembering

__all__ = ["redis_server"]  # a fixture

pytestmark = pytest.mark.services
KEY, SPAMMER = "key", "bob"
START_SECONDS, STOP_SECONDS = 60, 30
NOW = datetime.now(UTC)
MONTH = timedelta(days=30)


@dataclass(frozen=True)
class Server:
    url: str
    home: Path
    log: Path
    process: subprocess.Popen[str]

    def verdict(self, number: int, account: str = SPAMMER) -> Mapping[str, Any]:
        event = {
            "event_id": f"e{number}", "text": "see you at lunch", "account": account,
            "occurred_at": NOW.isoformat(),
        }  # fmt: skip
        answer = httpx.post(
            f"{self.url}/v1/models/spam:predict", json={"instances": [event]}, timeout=20
        )
        answer.raise_for_status()
        found: Mapping[str, Any] = answer.json()["predictions"][0]["verdict"]
        return found

    def metric(self, line: str) -> float:
        shown = httpx.get(f"{self.url}/metrics", timeout=20).text
        found = re.search(rf"^{re.escape(line)} (\S+)$", shown, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(STOP_SECONDS) == 0, self.log.read_text()


@contextmanager
def serving(home: Path, **variables: str) -> Iterator[Server]:
    log = home / "server.log"
    environment = {**os.environ, "WEIR_HOME": str(home), "WEIR_ACCOUNT_KEY": KEY, **variables}
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.stand_ins.remembering", "0", "stable"],
            cwd=PROJECT, env=environment, stderr=stderr, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
    try:
        yield Server(_address(process, log), home, log, process)
    finally:
        process.kill()
        process.wait(STOP_SECONDS)


def _address(process: subprocess.Popen[str], log: Path) -> str:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if found := re.search(r"(http://127\.0\.0\.1:\d+) serves", log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"no server:\n{log.read_text()}")


def known_spammer() -> dict[str, bytes]:
    """The states of an account, by its hash, that posted an hour ago and was found to spam."""
    states, account = MemoryStates(), hash_account(SPAMMER, KEY)
    before = NOW - timedelta(hours=1)
    past = enrichment_over(states, NoMedia())
    past.observe(Event(event_id="e0", text="hello there", account=account, occurred_at=before))
    past.observe_action(Action("platform", "confirmed_spam", account, before))
    note_newest(states, before)
    assert not past.failures
    return dict(states._states)


def replayed(server: Server) -> tuple[int, int]:
    """How many verdicts on record were decided again, and how many are equal to the byte."""
    model = Remembering()
    lines = [line for path in server.home.glob("decisions/*.jsonl") for line in lines_of(path)]
    versions = Versions(model.version, model.version, model.threshold_version)
    tally = replay_all(lines, WithholdingAssessor(cast(VersionedAssessor, model)), versions)
    return tally.replayed, tally.equal


def test_a_server_answers_by_the_states_in_lmdb_and_sees_those_that_come_later(
    tmp_path: Path,
) -> None:
    size = int(load_settings({}).feature_store.maximum_gib * GIBIBYTE)
    with LmdbStates(tmp_path / FOLDER, size) as states:
        states.put_many(known_spammer())
        with serving(tmp_path) as server:
            spammer, other = server.verdict(1), server.verdict(2, "ann")
            assert (spammer["action"], spammer["reasons"]) == ("block", [KNOWN])
            assert (other["action"], other["reasons"]) == ("allow", [])
            past = enrichment_over(states, NoMedia())  # this process tells, the server reads
            account = hash_account("ann", KEY)
            past.observe_action(Action("platform", "confirmed_spam", account, NOW))
            assert server.verdict(3, "ann")["reasons"] == [KNOWN]
            assert server.metric('weir_feature_reads_total{outcome="hit"}') == 1
            assert server.metric('weir_feature_reads_total{outcome="miss"}') == 2
            assert server.metric('weir_feature_freshness_seconds{view="past"}') >= 3600
            server.stop()
    assert replayed(server) == (3, 3)


def test_a_server_over_an_empty_store_answers_as_without_one(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        verdict = server.verdict(1)
        assert (verdict["action"], verdict["reasons"]) == ("allow", [])
        assert server.metric('weir_feature_reads_total{outcome="miss"}') == 0
        server.stop()
    assert "is empty" in server.log.read_text()


def test_a_server_whose_redis_dies_answers_with_the_reason_and_recovers(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    with RedisStates(redis_server.url, MONTH, 10.0) as states:
        states.put_many(known_spammer())
    variables = {
        "WEIR__FEATURE_STORE__ENGINE": "redis", "WEIR_REDIS_URL": redis_server.url,
        "WEIR__FEATURE_STORE__TIMEOUT_MILLISECONDS": "2000",
        "WEIR__SERVING__STAGE_GUARDS__OPEN_SECONDS": "0.2",
    }  # fmt: skip
    degraded = f'weir_degraded_verdicts_total{{reason="{FEATURES_UNAVAILABLE}"}}'
    with serving(tmp_path, **variables) as server:
        assert server.verdict(1)["reasons"] == [KNOWN]
        redis_server.kill()
        without = [server.verdict(number) for number in range(2, 32)]
        assert {one["action"] for one in without} == {"allow"}
        assert all(one["reasons"] == [FEATURES_UNAVAILABLE] for one in without)
        assert server.metric(degraded) == len(without)
        assert server.metric('weir_feature_reads_total{outcome="error"}') == len(without)
        redis_server.start()
        until = time.monotonic() + 30
        while (again := server.verdict(99)["reasons"]) != [KNOWN] and time.monotonic() < until:
            time.sleep(0.1)
        assert again == [KNOWN]
        server.stop()
    equal = replayed(server)
    assert equal[0] == equal[1] >= 32


def test_a_server_starts_and_answers_where_redis_is_not_there(tmp_path: Path) -> None:
    variables = {
        "WEIR__FEATURE_STORE__ENGINE": "redis", "WEIR_REDIS_URL": "redis://:opensesame@127.0.0.1:1",
    }  # fmt: skip
    with serving(tmp_path, **variables) as server:
        assert server.verdict(1)["reasons"] == [FEATURES_UNAVAILABLE]
        server.stop()
    said = server.log.read_text()
    assert said.count("does not answer; verdicts go without the past") == 1
    assert "opensesame" not in said


def test_a_server_starts_and_answers_where_lmdb_does_not_open(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_bytes(b"a file in its place")
    with serving(tmp_path) as server:
        assert server.verdict(1)["reasons"] == [FEATURES_UNAVAILABLE]
        server.stop()
    assert "state store" in server.log.read_text()
