"""Envoy's configuration as plain data: a fixed bootstrap, and two kinds of files that change.

Each slot is a cluster on a fixed port. A rollout moves only `routes.json` (who answers what
share, who gets copies) and `endpoints-{slot}.json` (who answers where a slot fails); Envoy
watches both for renames. See envoyproxy.io/docs: "Dynamic configuration (filesystem)".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from serving.rollout.targets.base import Traffic, TrafficArm

ARM_HEADER = "x-weir-arm"
VERSION_HEADER = "x-weir-model-version"
UPSTREAM_HOST_NAME = "weir"  # Envoy adds "-shadow" for copies; a client's own Host never arrives
PREDICT_ROUTE = "predict"
ROUTES = "weir-routes"
NO_CHAMPION = (
    "no champion deployed yet; approve a model in MLflow and start its rollout "
    "(python -m serving rollout start --version V), then repeat this request"
)
TRY_TIMEOUT_SECONDS = 10
REQUEST_TIMEOUT_SECONDS = 30
RETRIES = 3
# below uvicorn's keep-alive of 5 s, so that a pooled connection is never closed under a request
POOLED_IDLE_SECONDS = 3
_EXTENSIONS = "type.googleapis.com/envoy.extensions"


@dataclass(frozen=True)
class DataPlane:
    """Where the gateway and its slots listen (all on `host`), and where its files are."""

    host: str
    gateway_port: int
    admin_port: int
    slots: Mapping[str, int]
    folder: Path
    access_log: Path
    maximum_body_bytes: int
    model_name: str

    @property
    def ready_path(self) -> str:
        """Whether the model itself can answer, not only its server."""
        return f"/v2/models/{self.model_name}/ready"

    @property
    def predict_path(self) -> str:
        return f"/v1/models/{self.model_name}:predict"

    @property
    def bootstrap_file(self) -> Path:
        return self.folder / "bootstrap.json"

    @property
    def routes_file(self) -> Path:
        return self.folder / "routes.json"

    def endpoints_file(self, slot: str) -> Path:
        return self.folder / f"endpoints-{slot}.json"

    def address(self, slot: str) -> str:
        """`host:port` of the slot's server, as the access log names it."""
        return f"{self.host}:{self.slots[slot]}"


def cluster_name(slot: str) -> str:
    return f"slot-{slot}"


def routes(plane: DataPlane, traffic: Traffic | None) -> dict[str, Any]:
    """The discovery response with the one route configuration; it carries `traffic` itself."""
    answering = (
        [_no_champion()]
        if traffic is None
        else [_predict(traffic), _no_repository(), _others(traffic)]
    )
    known = _as_data(traffic)
    configuration = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [
            {
                "name": "weir",
                "domains": ["*"],
                "request_body_buffer_limit": _buffer_bytes(plane),
                "routes": [*answering, _not_found()],
                "metadata": {"filter_metadata": {"weir": {"traffic": known}}},
            }
        ],
    }
    return _discovery(configuration)


def traffic_of(response: Mapping[str, Any]) -> Traffic | None:
    """The traffic that a discovery response made by `routes` carries."""
    host = response["resources"][0]["virtual_hosts"][0]
    known = host["metadata"]["filter_metadata"]["weir"]["traffic"]
    if known is None:
        return None
    return Traffic(slots=known["slots"], weights=known["weights"], mirror=known["mirror"])


def endpoints(plane: DataPlane, slot: str, fallbacks: Sequence[str]) -> dict[str, Any]:
    """The slot's own server first; the fallbacks' where that is dead or refuses.

    A fallback counts as healthy from the moment it is named: it is the last resort.
    """
    unchecked = {"health_check_config": {"disable_active_health_check": True}}
    servers = [
        {"endpoint": _endpoint(plane, slot)},
        *({"endpoint": {**_endpoint(plane, name), **unchecked}} for name in fallbacks),
    ]
    return _discovery(
        {
            "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": cluster_name(slot),
            "endpoints": [
                {"priority": order, "lb_endpoints": [server]}
                for order, server in enumerate(servers)
            ],
        }
    )


def bootstrap(plane: DataPlane) -> dict[str, Any]:
    """What never changes while the gateway runs."""
    return {
        "node": {"id": "weir-gateway", "cluster": "weir"},
        "admin": {"address": _address(plane.host, plane.admin_port)},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_EXTENSIONS}.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 10_000,
                    },
                }
            ]
        },
        "static_resources": {
            "listeners": [_listener(plane)],
            "clusters": [_cluster(plane, slot) for slot in plane.slots],
        },
    }


def _predict(traffic: Traffic) -> dict[str, Any]:
    """Predictions: shared among the arms, mirrored, tried again before the client sees a fault."""
    action: dict[str, Any] = {
        "weighted_clusters": {
            "clusters": [
                _weighted(arm, slot, traffic.weights.get(arm, 0))
                for arm, slot in traffic.slots.items()
            ]
        },
        "host_rewrite_literal": UPSTREAM_HOST_NAME,
        "timeout": f"{REQUEST_TIMEOUT_SECONDS}s",
        "retry_policy": {
            "retry_on": "5xx",  # with reset, refused and connect failure; a prediction is pure
            "num_retries": RETRIES,
            "per_try_timeout": f"{TRY_TIMEOUT_SECONDS}s",
            "retry_priority": {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {
                    "@type": f"{_EXTENSIONS}.retry.priority.previous_priorities.v3"
                    ".PreviousPrioritiesConfig",
                    "update_frequency": 1,
                },
            },
        },
    }
    if traffic.mirror is not None:
        action["request_mirror_policies"] = [{"cluster": cluster_name(traffic.mirror)}]
    return {
        "name": PREDICT_ROUTE,
        "match": {"safe_regex": {"regex": r"/v[12]/models/.+(:predict|/infer)"}},
        "route": action,
    }


def _weighted(arm: TrafficArm, slot: str, weight: int) -> dict[str, Any]:
    return {
        "name": cluster_name(slot),
        "weight": weight,
        "request_headers_to_add": [
            {
                "header": {"key": ARM_HEADER, "value": arm},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _others(traffic: Traffic) -> dict[str, Any]:
    """Metadata and health of the protocol: from the arm that has the most weight."""
    arm = max(traffic.slots, key=lambda name: traffic.weights.get(name, 0))
    return {
        "name": "protocol",
        "match": {"safe_regex": {"regex": r"/v[12](/.*)?"}},
        "route": {
            "cluster": cluster_name(traffic.slots[arm]),
            "host_rewrite_literal": UPSTREAM_HOST_NAME,
            "timeout": f"{REQUEST_TIMEOUT_SECONDS}s",
        },
    }


def _no_champion() -> dict[str, Any]:
    return _direct("no-champion", 503, NO_CHAMPION, r"/v[12](/.*)?")


def _no_repository() -> dict[str, Any]:
    """Clients may not unload what serves everybody: loading is the rollout's business."""
    message = "models are loaded and unloaded by the rollout alone; see `serving rollout --help`"
    return _direct("repository", 403, message, r"/v2/repository(/.*)?")


def _not_found() -> dict[str, Any]:
    return _direct("not-found", 404, "unknown path; predictions are under /v1 and /v2", "/.*")


def _direct(name: str, status: int, message: str, regex: str) -> dict[str, Any]:
    return {
        "name": name,
        "match": {"safe_regex": {"regex": regex}},
        "direct_response": {"status": status, "body": {"inline_string": _error(message)}},
        "response_headers_to_add": [
            {
                "header": {"key": "content-type", "value": "application/json"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
    }


def _listener(plane: DataPlane) -> dict[str, Any]:
    return {
        "name": "gateway",
        "address": _address(plane.host, plane.gateway_port),
        "per_connection_buffer_limit_bytes": _buffer_bytes(plane),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(plane),
                    }
                ]
            }
        ],
    }


def _connection_manager(plane: DataPlane) -> dict[str, Any]:
    network = f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "@type": network,
        "stat_prefix": "gateway",
        "normalize_path": True,
        "use_remote_address": True,
        "server_name": "weir",
        "stream_idle_timeout": "60s",
        "request_headers_timeout": "10s",
        "request_timeout": "60s",
        "access_log": [_access_log(plane)],
        "local_reply_config": _local_replies(plane),
        "rds": {"route_config_name": ROUTES, "config_source": _file(plane.routes_file)},
        "http_filters": [
            {
                "name": "envoy.filters.http.buffer",
                "typed_config": {
                    "@type": f"{_EXTENSIONS}.filters.http.buffer.v3.Buffer",
                    "max_request_bytes": plane.maximum_body_bytes,
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
            },
        ],
    }


def _access_log(plane: DataPlane) -> dict[str, Any]:
    """One JSON line a request: what the judge needs, and nothing that a user wrote."""
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
            "path": str(plane.access_log),
            "log_format": {
                "json_format": {
                    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
                    "route": "%ROUTE_NAME%",
                    "method": "%REQ(:METHOD)%",
                    "status": "%RESPONSE_CODE%",
                    "microseconds": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
                    "arm": f"%REQ({ARM_HEADER.upper()})%",
                    "cluster": "%UPSTREAM_CLUSTER%",
                    "server": "%UPSTREAM_HOST%",
                    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                    "flags": "%RESPONSE_FLAGS%",
                    "model_version": f"%RESP({VERSION_HEADER.upper()})%",
                    "bytes_received": "%BYTES_RECEIVED%",
                    "bytes_sent": "%BYTES_SENT%",
                }
            },
        },
    }


def _local_replies(plane: DataPlane) -> dict[str, Any]:
    too_large = (
        f"the body is larger than {plane.maximum_body_bytes} bytes "
        "(serving.maximum_body_bytes); send fewer or smaller events"
    )
    unanswered = "no model server answered; repeat the request (details: the gateway's access log)"
    return {
        "mappers": [
            {
                "filter": {
                    "status_code_filter": {
                        "comparison": {
                            "op": "EQ",
                            "value": {"default_value": 413, "runtime_key": "weir.too_large"},
                        }
                    }
                },
                "body_format_override": {"json_format": {"error": too_large}},
            },
            {
                "filter": {
                    "response_flag_filter": {"flags": ["UH", "UF", "UO", "UC", "UR", "URX", "UT"]}
                },
                "body_format_override": {"json_format": {"error": unanswered}},
            },
        ]
    }


def _cluster(plane: DataPlane, slot: str) -> dict[str, Any]:
    protocol = f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": cluster_name(slot),
        "type": "EDS",
        "eds_cluster_config": {"eds_config": _file(plane.endpoints_file(slot))},
        "connect_timeout": "1s",
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
        # tries are bounded by RETRIES a request; the budget stops a storm of them
        "circuit_breakers": {
            "thresholds": [
                {"retry_budget": {"budget_percent": {"value": 25}, "min_retry_concurrency": 64}}
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": protocol,
                "common_http_protocol_options": {"idle_timeout": f"{POOLED_IDLE_SECONDS}s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _endpoint(plane: DataPlane, slot: str) -> dict[str, Any]:
    return {"address": _address(plane.host, plane.slots[slot])}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _file(path: Path) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def _buffer_bytes(plane: DataPlane) -> int:
    """Room for the largest body, so that it can be sent again and mirrored."""
    return plane.maximum_body_bytes + 65_536


def _discovery(resource: dict[str, Any]) -> dict[str, Any]:
    """A discovery response whose version is its content, so that applying it can be seen."""
    digest = hashlib.sha256(orjson.dumps(resource, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return {"version_info": digest[:16], "resources": [resource]}


def _as_data(traffic: Traffic | None) -> dict[str, Any] | None:
    if traffic is None:
        return None
    return {
        "slots": cast("dict[str, str]", dict(traffic.slots)),
        "weights": cast("dict[str, int]", dict(traffic.weights)),
        "mirror": traffic.mirror,
    }


def _error(message: str) -> str:
    return orjson.dumps({"error": message}).decode()
