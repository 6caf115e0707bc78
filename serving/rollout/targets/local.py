"""The local target: Envoy configured by files, model servers as processes in slots.

A slot is a name (a, b, c, …) with a fixed port. Deploying starts a detached server there, or
two where media have a pool of their own; traffic moves by renaming files that Envoy watches.
Servers survive the death of the controller and are taken up again by the next one.
"""

from __future__ import annotations

import secrets
import string
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson

from data_contracts.config import PROJECT, Serving
from data_contracts.errors import ConfigurationError, ServiceUnavailable
from data_contracts.files import write_atomically
from serving.rollout.targets.base import Counters, Deployment, Traffic
from serving.rollout.targets.envoy_admin import EnvoyAdmin
from serving.rollout.targets.envoy_bootstrap import bootstrap
from serving.rollout.targets.envoy_clusters import endpoints
from serving.rollout.targets.envoy_config import DataPlane, cluster_name
from serving.rollout.targets.envoy_routes import Routing, routes, routing_of
from serving.rollout.targets.processes import SlotProcesses
from serving.tokens import own_headers

MODEL_SERVER = (sys.executable, "-m", "serving", "serve")
WARM_UP_TEXTS = ("hello", "win a free prize now: http://example.com", "see you at 7?")
_SHADOW_HOST = "warm-up-shadow"  # marks the decision as mirrored: it never counts
_PROBE_SECONDS = 2.0
_WARM_UP_SECONDS = 30.0
_APPLY_SECONDS = 10.0
_LEAST_DRAIN_SECONDS = 1.0
_MOST_DRAIN_SECONDS = 20.0


def data_plane(serving: Serving, home: Path) -> DataPlane:
    """Ports and files of the gateway and the slots, as the configuration names them."""
    names = string.ascii_lowercase[: serving.slots]
    pool = serving.media_pool
    return DataPlane(
        host=serving.host,
        gateway_port=serving.gateway_port,
        admin_port=serving.envoy_admin_port,
        slots=_ports(names, serving.first_slot_port),
        media_slots={} if pool is None else _ports(names, pool.first_slot_port),
        media_variables={} if pool is None else pool.variables,
        maximum_heap_bytes=serving.gateway_heap_mib * 1_048_576,
        folder=home / "envoy",
        access_log=home / "logs" / "gateway-access.jsonl",
        maximum_body_bytes=serving.maximum_body_bytes,
        model_name=serving.model_name,
    )


def _ports(names: str, first: int) -> dict[str, int]:
    return {name: first + order for order, name in enumerate(names)}


class LocalTarget:
    """TrafficTarget on this machine.

    `server` is the command that serves a model; `--model URI --port P --slot NAME --version V`
    are appended to it. `new_key` gives the key that decides which accounts a rollout meets,
    `headers` what the servers ask of their clients beside the request.
    """

    def __init__(
        self,
        plane: DataPlane,
        home: Path,
        server: Sequence[str] = MODEL_SERVER,
        new_key: Callable[[], str] = lambda: secrets.token_hex(8),
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._plane = plane
        self._server = tuple(server)
        self._new_key = new_key
        self._headers = headers
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
        for server in self._plane.servers_of(slot):
            record = self._processes.record(server)
            if record is None or record.deployment != wanted:
                self._start(server, wanted)

    def deployed(self) -> Mapping[str, Deployment]:
        held = {slot: self._deployment(slot) for slot in self._plane.slots}
        return {slot: deployment for slot, deployment in held.items() if deployment is not None}

    def alive(self, slot: str) -> bool:
        return all(self._processes.alive(server) for server in self._plane.servers_of(slot))

    def ready(self, slot: str) -> bool:
        return self.alive(slot) and all(
            self._answers(server) and self._warm(server) and self._seen(server)
            for server in self._plane.servers_of(slot)
        )

    def restart(self, slot: str) -> None:
        servers = self._plane.servers_of(slot)
        dead = [server for server in servers if not self._processes.alive(server)]
        for server in dead or servers:
            record = self._processes.record(server)
            if record is not None:
                self._start(server, record.deployment)

    def remove(self, slot: str) -> None:
        traffic = self.traffic()
        if traffic is not None and traffic.visible_share(slot):
            raise ValueError(f"slot {slot} answers requests; take its weight away first")
        servers = self._plane.servers_of(slot)
        if any(self._processes.alive(server) for server in servers):
            self._drain([cluster_name(server) for server in servers])
        for server in servers:
            self._processes.stop(server)

    def set_traffic(self, traffic: Traffic | None) -> None:
        self._write_endpoints(traffic)
        self._wait_for_gateway(lambda: self._has_fallbacks(traffic), "the servers")
        wanted = routes(self._plane, self._routing(traffic))
        _write_if_changed(self._plane.routes_file, wanted)
        version = wanted["version_info"]
        self._wait_for_gateway(lambda: self._admin.routes_version() == version, "the routes")

    def traffic(self) -> Traffic | None:
        return self._last_routing().traffic

    def counters(self, slot: str) -> Counters:
        servers = self._plane.servers_of(slot)
        seen = [self._admin.counters(cluster_name(server)) for server in servers]
        return Counters(sum(one.requests for one in seen), sum(one.errors for one in seen))

    def last_words(self, slot: str) -> str:
        servers = self._plane.servers_of(slot)
        dead = [server for server in servers if not self._processes.alive(server)]
        return self._processes.last_words((dead or servers)[0])

    def stop_servers(self) -> None:
        """End every server of every slot, with no regard to traffic: for `make down`."""
        for server in self._plane.servers:
            self._processes.stop(server)

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
        _write_if_changed(self._plane.routes_file, routes(self._plane, self._routing(traffic)))
        _write_if_changed(self._plane.bootstrap_file, bootstrap(self._plane))
        return self._plane.bootstrap_file

    def _start(self, server: str, wanted: Deployment) -> None:
        port = str(self._plane.servers[server])
        arguments = ["--port", port, "--slot", server, "--version", wanted.version]
        command = [*self._server, "--model", wanted.model_uri, *arguments]
        variables = None if server in self._plane.slots else self._plane.media_variables
        self._processes.start(server, command, wanted, variables)

    def _deployment(self, slot: str) -> Deployment | None:
        """What all servers of the slot hold; None where one of them holds nothing, or another."""
        records = [self._processes.record(server) for server in self._plane.servers_of(slot)]
        held = {None if record is None else record.deployment for record in records}
        return held.pop() if len(held) == 1 else None

    def _last_routing(self) -> Routing:
        path = self._plane.routes_file
        if not path.is_file():
            return Routing(None, "")
        return routing_of(orjson.loads(path.read_bytes()))

    def _routing(self, traffic: Traffic | None) -> Routing:
        """The key lasts a rollout: when it is over, the next one meets other accounts."""
        last = self._last_routing()
        is_over = _answering_arms(last.traffic) > 1 and _answering_arms(traffic) <= 1
        key = self._new_key() if is_over or not last.affinity_key else last.affinity_key
        return Routing(traffic, key)

    def _answers(self, server: str) -> bool:
        url = f"http://{self._plane.address(server)}{self._plane.ready_path}"
        try:
            return self._client.get(url).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _warm(self, server: str) -> bool:
        """One prediction a text, once a server: the first request of a model is its slowest."""
        record = self._processes.record(server)
        if record is None or record.warmed:
            return record is not None
        url = f"http://{self._plane.address(server)}{self._plane.predict_path}"
        for number, text in enumerate(WARM_UP_TEXTS):
            body = {"instances": [{"event_id": f"weir-warm-up-{number}", "text": text}]}
            headers = {"host": _SHADOW_HOST, **self._headers()}
            try:
                answer = self._client.post(
                    url, json=body, headers=headers, timeout=_WARM_UP_SECONDS
                )
            except httpx.TransportError:
                return False
            if answer.status_code != httpx.codes.OK:
                return False
        self._processes.mark_warmed(server)
        return True

    def _seen(self, server: str) -> bool:
        """A gateway that runs must find the server healthy before it gets weight."""
        if not self._admin.running():
            return True
        return self._admin.healthy(cluster_name(server), self._plane.address(server))

    def _drain(self, clusters: Sequence[str]) -> None:
        """Wait for requests that were on their way when the weight went."""
        deadline = time.monotonic() + _MOST_DRAIN_SECONDS
        time.sleep(_LEAST_DRAIN_SECONDS)
        while any(map(self._admin.requests_in_flight, clusters)) and time.monotonic() < deadline:
            time.sleep(0.1)

    def _write_endpoints(self, traffic: Traffic | None) -> None:
        """Of a slot that leaves the traffic, none: requests on their way may still need them."""
        carried = () if traffic is None else (*traffic.slots.values(), traffic.mirror)
        for slot in self._plane.slots:
            if slot not in carried and self._plane.endpoints_file(slot).is_file():
                continue
            for server, fallbacks in self._fallbacks(slot, traffic).items():
                content = endpoints(self._plane, server, fallbacks)
                _write_if_changed(self._plane.endpoints_file(server), content)

    def _fallbacks(self, slot: str, traffic: Traffic | None) -> dict[str, list[str]]:
        """Who stands in for each server of the slot: champions' servers of the same pool."""
        champions = () if traffic is None else traffic.fallbacks(slot)
        return {
            self._plane.server(slot, content): [
                self._plane.server(champion, content) for champion in champions
            ]
            for content in self._plane.contents
        }

    def _has_fallbacks(self, traffic: Traffic | None) -> bool:
        """Whether the gateway knows who answers where a slot with weight fails."""
        if traffic is None:
            return True
        return all(
            self._admin.healthy(cluster_name(server), self._plane.address(fallback))
            for slot in traffic.slots.values()
            for server, fallbacks in self._fallbacks(slot, traffic).items()
            for fallback in fallbacks
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


def local_target(serving: Serving, home: Path) -> LocalTarget:
    """The configured one. Raises ConfigurationError where nobody could ask its servers: for a
    token that is missing or weak, and for TLS, which the gateway does not speak to them.
    """
    own_headers(serving)
    if serving.tls is not None:
        raise ConfigurationError(
            "serving.tls is set, and the gateway asks the servers in slots over plain HTTP; "
            "leave serving.tls out here: it is for servers that are reached directly"
        )
    return LocalTarget(data_plane(serving, home), home, headers=partial(own_headers, serving))


def _answering_arms(traffic: Traffic | None) -> int:
    return 0 if traffic is None else sum(weight > 0 for weight in traffic.weights.values())


def _write_if_changed(path: Path, content: Mapping[str, Any]) -> None:
    encoded = orjson.dumps(content, option=orjson.OPT_INDENT_2)
    if not path.is_file() or path.read_bytes() != encoded:
        write_atomically(path, encoded)
