"""A whole data plane for a test: gateway, controller, stand-in servers, and clients."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TypeVar

import httpx
import orjson

from data_contracts.config import PROJECT, Settings, load_settings
from pipelines.state import open_state
from serving.rollout.phases import Rollout
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Deployment
from serving.rollout.targets.local import LocalTarget, data_plane
from tests.stand_ins.controller_process import MODEL_SERVER
from tests.stand_ins.ports import free_ports

PATIENCE_SECONDS = 90.0
T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


class Load:
    """Clients that never stop, never retry, and remember every request that failed."""

    def __init__(self, url: str, clients: int = 3, pause_seconds: float = 0.02) -> None:
        self.sent = 0
        self.failures: list[str] = []
        self._url = url
        self._pause_seconds = pause_seconds
        self._numbers = count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        with httpx.Client(timeout=20, trust_env=False) as client:
            while not self._stop.wait(self._pause_seconds):
                text = "free" if next(self._numbers) % 5 == 0 else "hello"
                event = {"event_id": f"e{next(self._numbers)}", "text": text}
                self.sent += 1
                try:
                    answer = client.post(self._url, json={"instances": [event]})
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                    continue
                if answer.status_code != httpx.codes.OK:
                    self.failures.append(f"{answer.status_code} {answer.text}")


class Laboratory:
    """Processes of one home; everything is on ports of its own and is ended by `stop`."""

    def __init__(self, home: Path, **overrides: object) -> None:
        first = free_ports(5)
        values = {
            "SERVING__GATEWAY_PORT": first,
            "SERVING__ENVOY_ADMIN_PORT": first + 1,
            "SERVING__FIRST_SLOT_PORT": first + 2,
            **overrides,
        }
        changed = {f"WEIR__{name}": orjson.dumps(value).decode() for name, value in values.items()}
        self.environment = {**os.environ, **changed, "WEIR_HOME": str(home)}
        self.settings: Settings = load_settings(self.environment)
        self.home = home
        self.plane = data_plane(self.settings.serving, home)
        self.target = self.target_of(self.settings)
        self.store = RolloutStore(open_state(self.settings.state_url))
        self.store.prepare()
        (home / "registry").mkdir()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._versions = count(1)

    @staticmethod
    def target_of(settings: Settings) -> LocalTarget:
        """The local target with stand-in servers, as another process would open it."""
        plane = data_plane(settings.serving, settings.home)
        return LocalTarget(plane, settings.home, MODEL_SERVER)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.plane.gateway_port}{self.plane.predict_path}"

    def start_gateway(self) -> None:
        self._start("gateway", [sys.executable, "-m", "serving", "gateway"])
        wait_for(self.answers, "gateway")

    def take_over_gateway(self) -> None:
        """Replace the gateway as an upgrade does; returns when the old one has ended."""
        old = self._processes["gateway"]
        self._start("gateway", [sys.executable, "-m", "serving", "gateway", "--take-over"])
        wait_for(lambda: old.poll() is not None, f"the old gateway\n{self.log('gateway')}")
        assert self._processes["gateway"].poll() is None, self.log("gateway")

    def answers(self) -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{self.plane.gateway_port}/v2", timeout=2)
        except httpx.TransportError:
            return False
        return True

    def start_controller(self) -> None:
        self._start("controller", [sys.executable, "-m", "tests.stand_ins.controller_process"])

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def send(self, name: str, number: signal.Signals) -> None:
        """A signal, and nothing else: whoever looks after the process finds it dead."""
        self._processes[name].send_signal(number)

    def exit_code(self, name: str) -> int | None:
        """Of a process that has ended by itself, or None."""
        process = self._processes.get(name)
        return None if process is None else process.poll()

    def revoke(self, rollout: Rollout) -> None:
        """Take the version's approval back."""
        with (self.home / "registry" / "revoked").open("a") as file:
            file.write(f"{rollout.version}\n")

    def kill_server(self, slot: str) -> None:
        record = orjson.loads((self.home / "run" / f"slot-{slot}.json").read_bytes())
        os.kill(record["pid"], signal.SIGKILL)

    def roll_out(self, behaviour: str = "good", *, approved: bool = True) -> Rollout:
        """Start the rollout of a new version that behaves so."""
        version = str(next(self._versions))
        if approved:
            with (self.home / "registry" / "approved").open("a") as file:
                file.write(f"{version}\n")
        model = Deployment(f"stand-in/{behaviour}", version)
        return self.store.start(model, self.settings.rollout.steps, self.target.slots)

    def ended(self, rollout: Rollout) -> Rollout:
        """Wait for the end of the rollout."""

        def over() -> Rollout | None:
            latest = self.store.latest(rollout.version)
            return latest if latest is not None and not latest.active else None

        return wait_for(over, f"end of the rollout\n{self.log('controller')}")

    def at(self, rollout: Rollout, label: str) -> None:
        """Wait until the rollout's phase is carried out."""

        def there() -> bool:
            now = self.store.latest(rollout.version)
            return now is not None and now.label == label and now.applied_at is not None

        wait_for(there, f"{label}\n{self.log('controller')}")

    def log(self, name: str) -> str:
        path = self.home / f"{name}.log"
        return path.read_text() if path.is_file() else ""

    def registered(self, name: str) -> list[str]:
        path = self.home / "registry" / name
        return path.read_text().split() if path.is_file() else []

    def stop(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(timeout=20)
        self.target.stop_servers()

    def _start(self, name: str, command: list[str]) -> None:
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=PROJECT, env=self.environment
            )


@contextmanager
def laboratory(home: Path, **overrides: object) -> Iterator[Laboratory]:
    lab = Laboratory(home, **overrides)
    try:
        yield lab
    finally:
        lab.stop()
