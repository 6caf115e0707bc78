"""What a running Envoy says of itself, through its admin interface on loopback."""

from __future__ import annotations

from typing import Any

import httpx

from serving.rollout.targets.base import Counters


class EnvoyAdmin:
    """Questions to the admin port. A gateway that is not running answers None or zero."""

    def __init__(self, client: httpx.Client, host: str, port: int) -> None:
        self._client = client
        self._base = f"http://{host}:{port}"

    def running(self) -> bool:
        return self._ask("/server_info") is not None

    def routes_version(self) -> str | None:
        """`version_info` of the routes in force."""
        dump = self._ask("/config_dump?resource=dynamic_route_configs")
        found = (dump or {}).get("configs", [])
        return str(found[0].get("version_info", "")) if found else None

    def healthy(self, cluster: str, address: str) -> bool:
        """Whether the cluster's server at `host:port` passes its checks and is not passed by."""
        for status in (self._ask("/clusters?format=json") or {}).get("cluster_statuses", []):
            if status["name"] != cluster:
                continue
            for host in status.get("host_statuses", []):
                socket = host["address"].get("socket_address", {})
                if f"{socket.get('address')}:{socket.get('port_value')}" == address:
                    health = host.get("health_status", {})
                    return not (set(health) - {"eds_health_status"})
        return False

    def counters(self, cluster: str) -> Counters:
        """Requests that the cluster completed, and those with a status of 400 or more."""
        values = self._stats(f"cluster.{cluster}.upstream_rq_(completed|4xx|5xx)")
        prefix = f"cluster.{cluster}.upstream_rq_"
        errors = values.get(f"{prefix}4xx", 0) + values.get(f"{prefix}5xx", 0)
        return Counters(values.get(f"{prefix}completed", 0), errors)

    def requests_in_flight(self, cluster: str) -> int:
        return sum(self._stats(f"cluster.{cluster}.upstream_rq_active").values())

    def reopen_logs(self) -> None:
        """Have the access log opened anew, after it was moved aside."""
        try:
            self._client.post(f"{self._base}/reopen_logs")
        except httpx.TransportError:
            return

    def _stats(self, pattern: str) -> dict[str, int]:
        answer = self._ask(f"/stats?format=json&filter=^{pattern}$")
        return {
            entry["name"]: int(entry["value"])
            for entry in (answer or {}).get("stats", [])
            if "name" in entry and "value" in entry
        }

    def _ask(self, path: str) -> dict[str, Any] | None:
        try:
            response = self._client.get(self._base + path)
        except httpx.TransportError:
            return None
        if response.status_code != httpx.codes.OK:
            return None
        answer: dict[str, Any] = response.json()
        return answer
