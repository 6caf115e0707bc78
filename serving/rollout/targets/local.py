"""The local target: Envoy configured by files, model servers as processes in slots.

A slot is a name (a, b, c, …) with a fixed port. Deploying starts a detached server there;
traffic moves by renaming files that Envoy watches. Servers survive the death of the controller
and are taken up again by the next one.
"""

from __future__ import annotations

import string
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson

from data_contracts.config import PROJECT, Serving
from data_contracts.errors import ServiceUnavailable
from data_contracts.files import write_atomically
from serving.rollout.targets import envoy_config
from serving.rollout.targets.base import Counters, Deployment, Traffic
from serving.rollout.targets.envoy_admin import EnvoyAdmin
from serving.rollout.targets.processes import SlotProcesses

MODEL_SERVER = (sys.executable, "-m", "serving", "serve")
WARM_UP_TEXTS = ("hello", "win a free prize now: http://example.com", "see you at 7?")
_SHADOW_HOST = "warm-up-shadow"  # marks the decision as mirrored: it never counts
_PROBE_SECONDS = 2.0
_WARM_UP_SECONDS = 30.0
_APPLY_SECONDS = 10.0
_LEAST_DRAIN_SECONDS = 1.0
_MOST_DRAIN_SECONDS = 20.0


def data_plane(serving: Serving, home: Path) -> envoy_config.DataPlane:
    """Ports and files of the gateway and the slots, as the configuration names them."""
    names = string.ascii_lowercase[: serving.slots]
    return envoy_config.DataPlane(
        host=serving.host,
        gateway_port=serving.gateway_port,
        admin_port=serving.envoy_admin_port,
        slots={name: serving.first_slot_port + order for order, name in enumerate(names)},
        folder=home / "envoy",
        access_log=home / "logs" / "gateway-access.jsonl",
        maximum_body_bytes=serving.maximum_body_bytes,
        model_name=serving.model_name,
    )


class LocalTarget:
    """TrafficTarget on this machine.

    `server` is the command that serves a model; `--model URI --port P --slot NAME --version V`
    are appended to it.
    """

    def __init__(
        self,
        plane: envoy_config.DataPlane,
        home: Path,
        server: Sequence[str] = MODEL_SERVER,
    ) -> None:
        self._plane = plane
        self._server = tuple(server)
        # one client: making one costs more than a question; no proxy stands before loopback
        self._client = httpx.Client(timeout=_PROBE_SECONDS, trust_env=False)
        self._admin = EnvoyAdmin(self._client, plane.host, plane.admin_port)
        self._processes = SlotProcesses(
            home / "run", home / "logs", PROJECT, {"WEIR_HOME": str(home)}
        )

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(self._plane.slots)

    def deploy(self, slot: str, model_uri: str, version: str) -> None:
        wanted = Deployment(model_uri, version)
        record = self._processes.record(slot)
        if record is not None and record.deployment == wanted:
            return
        self._processes.start(slot, self._command(slot, wanted), wanted)

    def deployed(self) -> Mapping[str, Deployment]:
        records = {slot: self._processes.record(slot) for slot in self._plane.slots}
        return {slot: record.deployment for slot, record in records.items() if record is not None}

    def alive(self, slot: str) -> bool:
        return self._processes.alive(slot)

    def ready(self, slot: str) -> bool:
        return self.alive(slot) and self._answers(slot) and self._warm(slot) and self._seen(slot)

    def restart(self, slot: str) -> None:
        record = self._processes.record(slot)
        if record is not None:
            self._processes.start(slot, self._command(slot, record.deployment), record.deployment)

    def remove(self, slot: str) -> None:
        traffic = self.traffic()
        if traffic is not None and traffic.visible_share(slot):
            raise ValueError(f"slot {slot} answers requests; take its weight away first")
        if self._processes.alive(slot):
            self._drain(slot)
        self._processes.stop(slot)

    def set_traffic(self, traffic: Traffic | None) -> None:
        self._write_endpoints(traffic)
        self._wait_for_gateway(lambda: self._has_fallbacks(traffic), "the servers")
        routes = envoy_config.routes(self._plane, traffic)
        _write_if_changed(self._plane.routes_file, routes)
        version = routes["version_info"]
        self._wait_for_gateway(lambda: self._admin.routes_version() == version, "the routes")

    def traffic(self) -> Traffic | None:
        path = self._plane.routes_file
        if not path.is_file():
            return None
        return envoy_config.traffic_of(orjson.loads(path.read_bytes()))

    def counters(self, slot: str) -> Counters:
        return self._admin.counters(envoy_config.cluster_name(slot))

    def last_words(self, slot: str) -> str:
        return self._processes.last_words(slot)

    def stop_servers(self) -> None:
        """End every slot's server, with no regard to traffic: for `make down`."""
        for slot in self._plane.slots:
            self._processes.stop(slot)

    def rotate_access_log(self, maximum_bytes: int = 64 * 1_048_576) -> None:
        """Move a large access log aside; one older file is kept."""
        log = self._plane.access_log
        if log.is_file() and log.stat().st_size > maximum_bytes:
            log.replace(log.with_name(f"{log.name}.1"))
            self._admin.reopen_logs()

    def write_gateway_files(self) -> Path:
        """Everything that Envoy reads at its start; returns the bootstrap file.

        Traffic stays as it was set last; without any, requests are told that no model is there.
        """
        self._plane.access_log.parent.mkdir(parents=True, exist_ok=True)
        traffic = self.traffic()
        self._write_endpoints(traffic)
        _write_if_changed(self._plane.routes_file, envoy_config.routes(self._plane, traffic))
        _write_if_changed(self._plane.bootstrap_file, envoy_config.bootstrap(self._plane))
        return self._plane.bootstrap_file

    def _command(self, slot: str, wanted: Deployment) -> list[str]:
        port = str(self._plane.slots[slot])
        arguments = ["--port", port, "--slot", slot, "--version", wanted.version]
        return [*self._server, "--model", wanted.model_uri, *arguments]

    def _answers(self, slot: str) -> bool:
        url = f"http://{self._plane.address(slot)}{self._plane.ready_path}"
        try:
            return self._client.get(url).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _warm(self, slot: str) -> bool:
        """One prediction a text, once a server: the first request of a model is its slowest."""
        record = self._processes.record(slot)
        if record is None or record.warmed:
            return record is not None
        url = f"http://{self._plane.address(slot)}{self._plane.predict_path}"
        for number, text in enumerate(WARM_UP_TEXTS):
            body = {"instances": [{"event_id": f"weir-warm-up-{number}", "text": text}]}
            try:
                answer = self._client.post(
                    url, json=body, headers={"host": _SHADOW_HOST}, timeout=_WARM_UP_SECONDS
                )
            except httpx.TransportError:
                return False
            if answer.status_code != httpx.codes.OK:
                return False
        self._processes.mark_warmed(slot)
        return True

    def _seen(self, slot: str) -> bool:
        """A gateway that runs must find the server healthy before it gets weight."""
        if not self._admin.running():
            return True
        return self._admin.healthy(envoy_config.cluster_name(slot), self._plane.address(slot))

    def _drain(self, slot: str) -> None:
        """Wait for requests that were on their way when the weight went."""
        cluster = envoy_config.cluster_name(slot)
        deadline = time.monotonic() + _MOST_DRAIN_SECONDS
        time.sleep(_LEAST_DRAIN_SECONDS)
        while self._admin.requests_in_flight(cluster) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _write_endpoints(self, traffic: Traffic | None) -> None:
        for slot in self._plane.slots:
            fallbacks = () if traffic is None else traffic.fallbacks(slot)
            content = envoy_config.endpoints(self._plane, slot, fallbacks)
            _write_if_changed(self._plane.endpoints_file(slot), content)

    def _has_fallbacks(self, traffic: Traffic | None) -> bool:
        """Whether the gateway knows who answers where a slot with weight fails."""
        if traffic is None:
            return True
        return all(
            self._admin.healthy(envoy_config.cluster_name(slot), self._plane.address(fallback))
            for slot in traffic.slots.values()
            for fallback in traffic.fallbacks(slot)
        )

    def _wait_for_gateway(self, applied: Callable[[], bool], what: str) -> None:
        """Until Envoy says that it took the files; one that is down reads them at its start."""
        deadline = time.monotonic() + _APPLY_SECONDS
        while not applied() and self._admin.running():
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    f"the gateway did not take {what} within {_APPLY_SECONDS:.0f} s; see its log, "
                    f"and its admin port serving.envoy_admin_port = {self._plane.admin_port}"
                )
            time.sleep(0.02)


def _write_if_changed(path: Path, content: Mapping[str, Any]) -> None:
    encoded = orjson.dumps(content, option=orjson.OPT_INDENT_2)
    if not path.is_file() or path.read_bytes() != encoded:
        write_atomically(path, encoded)
