"""The appeals service as a process: heard, decided, undone at the platform, ended by SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from data_contracts.config import PROJECT
from data_contracts.secrets import ACCOUNT_KEY, APPEALS_KEY, create_local_secrets
from pipelines import lake
from pipelines.accounts import hash_account
from pipelines.state import open_state
from serving.appeals.proof import ACCOUNT, REVIEWER, signed
from tests.appeal_cases import Home, event, line, verdict
from tests.healthy import wait_until_healthy
from tests.performance.platform_emulator import platform_emulator
from tests.stand_ins.ports import free_port

STOP_SECONDS = 20.0


def test_an_appeal_is_heard_by_the_service_and_undone_at_the_platform(tmp_path: Path) -> None:
    secrets = create_local_secrets(tmp_path)
    key, now = secrets[APPEALS_KEY], datetime.now(UTC)
    day = now.date().isoformat()
    mine = event("e1", "see you on friday", account=None).model_copy(
        update={"account": hash_account("ada", secrets[ACCOUNT_KEY]), "occurred_at": now}
    )
    engine = open_state(f"sqlite:///{tmp_path}/other.sqlite")
    home = Home(tmp_path, engine)
    home.record([line(verdict("e1"), mine, now)])
    home.land([mine], day)
    engine.dispose()
    port = free_port()
    with platform_emulator(key) as platform:
        environment = {
            **os.environ, "WEIR_HOME": str(tmp_path), "WEIR__APPEALS__PORT": str(port),
            "WEIR__APPEALS__WEBHOOK_URL": platform.url,
        }  # fmt: skip
        command = [sys.executable, "-m", "serving", "appeals"]
        with subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            try:
                wait_until_healthy(f"http://127.0.0.1:{port}", process)
                ends = now + timedelta(hours=1)
                account, reviewer = (
                    {"Authorization": f"Bearer {signed(key, who, audience, ends)}"}
                    for who, audience in (("ada", ACCOUNT), ("rae", REVIEWER))
                )
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                    body = {"event_id": "e1", "statement": "a private word"}
                    said = client.post("/appeals", json=body, headers=account)
                    assert said.status_code == 201, said.text
                    path = f"/appeals/{said.json()['appeal']}"
                    assert client.post(f"{path}/take", headers=reviewer).status_code == 200
                    decision = {"decision": "overturn", "reason": "an ordinary message"}
                    done = client.post(f"{path}/decide", json=decision, headers=reviewer)
                    assert done.json()["effects"]["label"] == f"ham on {day}"
                    told = client.get(f"{path}/status", headers=account).json()
                    assert told["state"] == "overturned"
            finally:
                process.send_signal(signal.SIGTERM)
                spoken, _ = process.communicate(timeout=STOP_SECONDS)
        assert process.returncode in (0, -signal.SIGTERM), spoken.decode()
        assert [one["event_id"] for one in platform.undone.values()] == ["e1"]
    assert b"private" not in spoken
    assert lake.read(tmp_path / "lake", "labels", [day])["label"].to_pylist() == ["ham"]
