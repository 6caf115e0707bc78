"""What never changes while the gateway runs: admin, overload manager, listener and clusters."""

from __future__ import annotations

from typing import Any

from serving.rollout.targets.envoy_clusters import cluster
from serving.rollout.targets.envoy_config import EXTENSIONS, DataPlane, socket_address
from serving.rollout.targets.envoy_listener import listener

MAXIMUM_CONNECTIONS = 10_000
# of the heap's limit: from the first on a growing share of requests is refused, from the second all
_GROWING = {"scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.95}}


def bootstrap(plane: DataPlane) -> dict[str, Any]:
    return {
        "node": {"id": "weir-gateway", "cluster": "weir"},
        "admin": {"address": socket_address(plane.host, plane.admin_port)},
        "overload_manager": _overload_manager(plane),
        "static_resources": {
            "listeners": [listener(plane)],
            "clusters": [cluster(plane, server) for server in plane.servers],
        },
    }


def _overload_manager(plane: DataPlane) -> dict[str, Any]:
    """Near the heap's limit: give memory back, then turn away a growing share of requests.

    A refused request gets its 503 at once, which costs no buffer; clients that leave half a body
    lying are cut off.
    """
    return {
        "refresh_interval": "0.1s",
        "resource_monitors": [
            _monitor(
                "fixed_heap",
                "fixed_heap.v3.FixedHeapConfig",
                {"max_heap_size_bytes": plane.maximum_heap_bytes},
            ),
            _monitor(
                "global_downstream_max_connections",
                "downstream_connections.v3.DownstreamConnectionsConfig",
                {"max_active_downstream_connections": MAXIMUM_CONNECTIONS},
            ),
        ],
        "actions": [
            _action("shrink_heap", {"threshold": {"value": 0.8}}),
            _action("disable_http_keepalive", {"threshold": {"value": 0.9}}),
            _action("stop_accepting_requests", _GROWING),
            {
                **_action("reduce_timeouts", _GROWING),
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.config.overload.v3"
                    ".ScaleTimersOverloadActionConfig",
                    "timer_scale_factors": [
                        {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_timeout": "2s"},
                        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"},
                    ],
                },
            },
        ],
    }


def _monitor(name: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"envoy.resource_monitors.{name}",
        "typed_config": {"@type": f"{EXTENSIONS}.resource_monitors.{kind}", **settings},
    }


def _action(name: str, trigger: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": f"envoy.overload_actions.{name}",
        "triggers": [{"name": "envoy.resource_monitors.fixed_heap", **trigger}],
    }
