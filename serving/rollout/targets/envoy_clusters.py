"""Each server's cluster: who answers where it fails, how much it is given, when it is passed by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.rollout.targets.envoy_config import (
    UPSTREAM_HOST_NAME,
    DataPlane,
    cluster_name,
    discovery,
    socket_address,
    watched_file,
)

# below uvicorn's keep-alive of 5 s, so that a pooled connection is never closed under a request
POOLED_IDLE_SECONDS = 3
URGENT = "HIGH"  # Envoy has two classes: what somebody waits for, and all else (bulk, copies)
PATIENT = "DEFAULT"
MAXIMUM_IN_FLIGHT = {URGENT: 1024, PATIENT: 128}  # a server; the rest gets 503 at once


def endpoints(plane: DataPlane, server: str, fallbacks: Sequence[str]) -> dict[str, Any]:
    """The server itself first; the servers in `fallbacks` where that is dead or refuses.

    A fallback counts as healthy from the moment it is named: it is the last resort.
    """
    unchecked = {"health_check_config": {"disable_active_health_check": True}}
    servers = [
        {"endpoint": _endpoint(plane, server)},
        *({"endpoint": {**_endpoint(plane, name), **unchecked}} for name in fallbacks),
    ]
    return discovery(
        {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": cluster_name(server),
            "endpoints": [
                {"priority": order, "lb_endpoints": [one]} for order, one in enumerate(servers)
            ],
        }
    )


def cluster(plane: DataPlane, server: str) -> dict[str, Any]:
    protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": cluster_name(server),
        "type": "EDS",
        "eds_cluster_config": {"eds_config": watched_file(plane.endpoints_file(server))},
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        # a change of health counts at once: by default Envoy holds it back for up to a second after
        # another one, while its admin port already tells of it
        "common_lb_config": {"update_merge_window": "0s"},
        "ignore_health_on_host_removal": True,
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "unhealthy_interval": "0.5s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 1,
                "http_health_check": {"path": plane.ready_path, "host": UPSTREAM_HOST_NAME},
            }
        ],
        "outlier_detection": _outlier_detection(),
        "circuit_breakers": {"thresholds": [_threshold(URGENT), _threshold(PATIENT)]},
        "typed_extension_protocol_options": {
            protocol: {
                "@type": f"type.googleapis.com/{protocol}",
                "common_http_protocol_options": {"idle_timeout": f"{POOLED_IDLE_SECONDS}s"},
                "explicit_http_config": {"http_protocol_options": {}},
                "outlier_detection": {"error_matcher": _is_failure()},
            }
        },
    }


def _outlier_detection() -> dict[str, Any]:
    """A server that fails five times in a row is passed by until a health check succeeds.

    That bridges the time until checks notice a death, and spares a server that is ready yet fails
    most of its requests; a restarted one is back at once. At most half of a cluster's servers are
    passed by, so the last one always gets its requests.
    """
    return {
        "consecutive_5xx": 5,
        "consecutive_gateway_failure": 5,
        "enforcing_consecutive_gateway_failure": 100,
        "interval": "1s",
        "base_ejection_time": "5s",
        "max_ejection_time": "60s",
        "max_ejection_percent": 50,
    }


def _is_failure() -> dict[str, Any]:
    """A 5xx that names no time to come back: a server that sheds load is well and stays."""
    server_error = {"name": ":status", "string_match": {"safe_regex": {"regex": "5.."}}}
    deliberate = {"name": "retry-after", "present_match": True, "invert_match": True}
    return {
        "and_match": {
            "rules": [
                {"http_response_headers_match": {"headers": [server_error]}},
                {"http_response_headers_match": {"headers": [deliberate]}},
            ]
        }
    }


def _threshold(priority: str) -> dict[str, Any]:
    """Tries are bounded a request (`RETRIES`); the budget stops a storm of them."""
    most = MAXIMUM_IN_FLIGHT[priority]
    return {
        "priority": priority,
        "max_connections": most,
        "max_pending_requests": most,
        "max_requests": most,
        "retry_budget": {"budget_percent": {"value": 25}, "min_retry_concurrency": 64},
    }


def _endpoint(plane: DataPlane, server: str) -> dict[str, Any]:
    return {"address": socket_address(plane.host, plane.servers[server])}
