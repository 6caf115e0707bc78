"""Who answers what: by content to a pool, by priority to a class, by account to an arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from serving.rollout.targets.base import Traffic, TrafficArm
from serving.rollout.targets.envoy_clusters import PATIENT, URGENT
from serving.rollout.targets.envoy_config import (
    ACCOUNT_HEADER,
    ARM_HEADER,
    CONTENT_HEADER,
    EXTENSIONS,
    PREDICT_ROUTE,
    PRIORITY_HEADER,
    ROUTES,
    UPSTREAM_HOST_NAME,
    Content,
    DataPlane,
    buffer_bytes,
    cluster_name,
    discovery,
)
from serving.rollout.targets.envoy_listener import CONTENT_FILTER

NO_CHAMPION = (
    "no champion deployed yet; approve a model in MLflow and start its rollout "
    "(python -m serving rollout start --version V), then repeat this request"
)
BAD_PRIORITY = (
    f"{PRIORITY_HEADER} is none of interactive, normal, bulk; send one of them, or leave it out"
)
TRY_TIMEOUT_SECONDS = 10
REQUEST_TIMEOUT_SECONDS = 30
RETRIES = 3
ARMS: tuple[TrafficArm, ...] = ("stable", "baseline", "canary")
_PREDICTIONS = r"/v[12]/models/.+(:predict|/infer)"


@dataclass(frozen=True)
class Routing:
    """Traffic, and the key (16 hexadecimal digits) that decides which accounts meet which arm."""

    traffic: Traffic | None
    affinity_key: str


def routes(plane: DataPlane, routing: Routing) -> dict[str, Any]:
    """The discovery response with the one route configuration; it carries `routing` itself."""
    traffic = routing.traffic
    answering = (
        [_no_champion()]
        if traffic is None
        else [_bad_priority(), *_predictions(plane, traffic), _no_repository(), _others(traffic)]
    )
    known = {"traffic": _as_data(traffic), "affinity_key": routing.affinity_key}
    configuration = {
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        "virtual_hosts": [
            {
                "name": "weir",
                "domains": ["*"],
                "request_body_buffer_limit": buffer_bytes(plane),
                "request_headers_to_remove": [ACCOUNT_HEADER],  # its work is done
                "routes": [*answering, _not_found()],
                "typed_per_filter_config": {
                    CONTENT_FILTER: {
                        "@type": f"{EXTENSIONS}.filters.http.lua.v3.LuaPerRoute",
                        "filter_context": {"affinity_key": routing.affinity_key},
                    }
                },
                "metadata": {"filter_metadata": {"weir": known}},
            }
        ],
    }
    return discovery(configuration)


def routing_of(response: Mapping[str, Any]) -> Routing:
    """The routing that a discovery response made by `routes` carries."""
    known = response["resources"][0]["virtual_hosts"][0]["metadata"]["filter_metadata"]["weir"]
    carried = known["traffic"]
    traffic = None
    if carried is not None:
        slots, weights = carried["slots"], carried["weights"]
        traffic = Traffic(slots=slots, weights=weights, mirror=carried["mirror"])
    return Routing(traffic, known.get("affinity_key", ""))


def _predictions(plane: DataPlane, traffic: Traffic) -> list[dict[str, Any]]:
    """A route a pool and class: what surely is text, then whatever is left; bulk, then the rest."""
    return [
        _predict(plane, traffic, content, priority)
        for content in plane.contents
        for priority in (PATIENT, URGENT)
    ]


def _predict(plane: DataPlane, traffic: Traffic, content: Content, priority: str) -> dict[str, Any]:
    """Predictions: shared among the arms, mirrored, tried again before the client sees a fault.

    An account stays with its arm: its hash, modulo 100, falls into one of the arms' shares. The
    canary's is the last, so a growing weight only adds accounts to it. Requests without an
    account are shared at random.
    """
    action: dict[str, Any] = {
        "weighted_clusters": {
            "header_name": ACCOUNT_HEADER,
            "clusters": [
                _weighted(arm, plane.server(traffic.slots[arm], content), traffic)
                for arm in ARMS
                if arm in traffic.slots
            ],
        },
        "priority": priority,
        "host_rewrite_literal": UPSTREAM_HOST_NAME,
        "timeout": f"{REQUEST_TIMEOUT_SECONDS}s",
        "retry_policy": {
            "retry_on": "5xx",  # with reset, refused and connect failure; a prediction is pure
            "num_retries": RETRIES,
            "per_try_timeout": f"{TRY_TIMEOUT_SECONDS}s",
            "retry_priority": {
                "name": "envoy.retry_priorities.previous_priorities",
                "typed_config": {
                    "@type": f"{EXTENSIONS}.retry.priority.previous_priorities.v3"
                    ".PreviousPrioritiesConfig",
                    "update_frequency": 1,
                },
            },
        },
    }
    if traffic.mirror is not None:
        copies = cluster_name(plane.server(traffic.mirror, content))
        action["request_mirror_policies"] = [{"cluster": copies}]
    conditions = [(CONTENT_HEADER, "text")] if content == "text" else []
    if priority == PATIENT:
        conditions.append((PRIORITY_HEADER, "bulk"))
    return {"name": PREDICT_ROUTE, "match": _match(_PREDICTIONS, conditions), "route": action}


def _weighted(arm: TrafficArm, server: str, traffic: Traffic) -> dict[str, Any]:
    return {
        "name": cluster_name(server),
        "weight": traffic.weights.get(arm, 0),
        "request_headers_to_add": [_header(ARM_HEADER, arm)],
    }


def _others(traffic: Traffic) -> dict[str, Any]:
    """Metadata and health of the protocol: from the arm that has the most weight."""
    arm = max(traffic.slots, key=lambda name: traffic.weights.get(name, 0))
    return {
        "name": "protocol",
        "match": _match(r"/v[12](/.*)?"),
        "route": {
            "cluster": cluster_name(traffic.slots[arm]),
            "host_rewrite_literal": UPSTREAM_HOST_NAME,
            "timeout": f"{REQUEST_TIMEOUT_SECONDS}s",
        },
    }


def _no_champion() -> dict[str, Any]:
    return _direct("no-champion", 503, NO_CHAMPION, _match(r"/v[12](/.*)?"))


def _bad_priority() -> dict[str, Any]:
    """The script writes `unknown` for a class that there is none of."""
    match = _match(_PREDICTIONS, [(PRIORITY_HEADER, "unknown")])
    return _direct("bad-priority", 400, BAD_PRIORITY, match)


def _no_repository() -> dict[str, Any]:
    """Clients may not unload what serves everybody: loading is the rollout's business."""
    message = "models are loaded and unloaded by the rollout alone; see `serving rollout --help`"
    return _direct("repository", 403, message, _match(r"/v2/repository(/.*)?"))


def _not_found() -> dict[str, Any]:
    message = "unknown path; predictions are under /v1 and /v2"
    return _direct("not-found", 404, message, _match("/.*"))


def _direct(name: str, status: int, message: str, match: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": message}},
    }


def _match(regex: str, headers: list[tuple[str, str]] | None = None) -> dict[str, Any]:
    """A path, and headers that must have these values."""
    conditions = [{"name": name, "string_match": {"exact": value}} for name, value in headers or []]
    return {"safe_regex": {"regex": regex}, **({"headers": conditions} if conditions else {})}


def _header(name: str, value: str) -> dict[str, Any]:
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def _as_data(traffic: Traffic | None) -> dict[str, Any] | None:
    if traffic is None:
        return None
    return {
        "slots": cast("dict[str, str]", dict(traffic.slots)),
        "weights": cast("dict[str, int]", dict(traffic.weights)),
        "mirror": traffic.mirror,
    }
