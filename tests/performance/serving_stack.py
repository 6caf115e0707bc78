"""What `bench-serving` runs: model servers on one core, Envoy and the load on others.

With two cores Envoy and the load share the second one; with one, all share it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx

from data_contracts.config import PROJECT, load_settings
from serving.rollout.gateway import envoy_command, envoy_program
from serving.rollout.targets.base import Traffic
from serving.rollout.targets.envoy_admin import EnvoyAdmin
from serving.rollout.targets.envoy_config import DataPlane, cluster_name
from serving.rollout.targets.local import LocalTarget
from tests.performance.http_load import children, cpu_seconds
from tests.stand_ins.data_plane import wait_for
from tests.stand_ins.ports import free_ports

START_SECONDS, STOP_SECONDS = 120.0, 10.0
IDLE_SHARE, IDLE_LOOK_SECONDS, IDLE_SECONDS = 0.03, 0.5, 30.0
ARMS: Mapping[int, dict[str, int]] = {1: {"stable": 100}, 2: {"stable": 50, "baseline": 50}}


class Cores(NamedTuple):
    """The cores of the model servers, of Envoy, and of the load."""

    servers: frozenset[int]
    envoy: frozenset[int]
    load: frozenset[int]

    @classmethod
    def of_this_process(cls) -> Cores:
        """Servers on the first core it may use, the load on the last, Envoy on the second."""
        mine = sorted(os.sched_getaffinity(0))
        return cls(*(frozenset({mine[min(at, len(mine) - 1)]}) for at in (0, 1, 2)))

    def described(self) -> dict[str, list[int]]:
        return {name: sorted(own) for name, own in self._asdict().items()}


class Running(NamedTuple):
    """A process, and the port it listens on."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def cpu_seconds(self) -> float:
        """With its children: the workers that decode media."""
        return cpu_seconds(self.process.pid)

    def cpu_seconds_when_idle(self) -> float:
        """After the work that follows the answers; at most IDLE_SECONDS are waited for."""
        deadline = time.monotonic() + IDLE_SECONDS
        before = self.cpu_seconds
        while time.monotonic() < deadline:
            time.sleep(IDLE_LOOK_SECONDS)
            now = self.cpu_seconds
            if now - before < IDLE_SHARE * IDLE_LOOK_SECONDS:
                return now
            before = now
        return before


@dataclass(frozen=True)
class Stack:
    """Model servers, by slot, and the gateway before them."""

    servers: Mapping[str, Running]
    gateway: Running

    @property
    def server(self) -> Running:
        """The only one, or the first."""
        return next(iter(self.servers.values()))


@contextmanager
def stack(
    commands: Mapping[str, Sequence[str]], environment: Mapping[str, str], home: Path, cores: Cores
) -> Iterator[Stack]:
    """A server for each slot, which gets `--port` and `--slot`, and Envoy before them."""
    with ExitStack() as entered:
        servers = {}
        for slot, command in commands.items():
            arguments = [*command, "--port", "0", "--slot", slot]
            log = home / f"server-{slot}.log"
            servers[slot] = entered.enter_context(server(arguments, environment, log, cores))
        ports = {slot: one.port for slot, one in servers.items()}
        yield Stack(servers, entered.enter_context(_gateway(ports, home, cores)))


def serve(model: Path) -> list[str]:
    """The command of an ordinary model server."""
    return ["serving", "serve", "--model", str(model)]


def as_in_production() -> dict[str, str]:
    """How a server serves that has its cores to itself, not the local loop's; as environment."""
    serving, prefix = load_settings({"WEIR_ENV": "production"}).serving, "WEIR__SERVING__"
    classes = serving.admission.classes.items()
    return {
        f"{prefix}EVERY_STAGE_SHARE": str(serving.every_stage_share),
        **{
            f"{prefix}ADMISSION__CLASSES__{name.upper()}__DEADLINE_MILLISECONDS": str(
                one.deadline_milliseconds
            )
            for name, one in classes
        },
    }


@contextmanager
def server(
    module: Sequence[str], environment: Mapping[str, str], log: Path, cores: Cores
) -> Iterator[Running]:
    """A process that says on stderr where it listens; its last lines where it does not."""
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", *module], cwd=PROJECT, env=dict(environment), stderr=stderr,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
    with _ended(process, cores.servers):
        yield Running(process, _port_of(process, log))


@contextmanager
def _gateway(ports: Mapping[str, int], home: Path, cores: Cores) -> Iterator[Running]:
    """Envoy with the gateway's own configuration; the slots share the traffic evenly."""
    first = free_ports(2)
    folder = home / f"envoy-{first}"
    plane = DataPlane(
        host="127.0.0.1", gateway_port=first, admin_port=first + 1, slots=ports, folder=folder,
        access_log=folder / "access.jsonl", maximum_body_bytes=2**20, model_name="spam",
    )  # fmt: skip
    target = LocalTarget(plane, folder)
    weights = ARMS[len(ports)]
    target.set_traffic(Traffic(dict(zip(weights, ports, strict=True)), weights))  # type: ignore[arg-type]
    command = envoy_command(envoy_program(), target.write_gateway_files())
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    with _ended(process, cores.envoy), httpx.Client(trust_env=False) as client:
        admin = EnvoyAdmin(client, plane.host, plane.admin_port)
        for slot in ports:
            found = partial(admin.healthy, cluster_name(slot), plane.address(slot))
            wait_for(found, f"Envoy finds {slot} healthy")
        yield Running(process, first)


@contextmanager
def _ended(process: subprocess.Popen[bytes], cores: Collection[int]) -> Iterator[None]:
    """Pinned before it has threads; ended afterwards, if it did not end by itself."""
    try:
        os.sched_setaffinity(process.pid, cores)
        yield
    finally:
        below = [] if process.poll() is not None else children(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # stages that run after the answer may take minutes
            process.kill()
            process.wait()
        for child in below:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def _port_of(process: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.05)
    raise RuntimeError("no server:\n" + log.read_text(errors="replace")[-2000:])
