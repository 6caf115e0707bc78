"""The gateway's front: filters, the access log, and what Envoy itself answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serving.rollout.targets.envoy_config import (
    ACCOUNT_HEADER,
    ARM_HEADER,
    CONTENT_HEADER,
    EXTENSIONS,
    PRIORITY_HEADER,
    ROUTES,
    VERSION_HEADER,
    DataPlane,
    buffer_bytes,
    socket_address,
    watched_file,
)

CONTENT_FILTER = "envoy.filters.http.lua"
CONTENT_SCRIPT = Path(__file__).with_name("content_kind.lua")
OWN_HEADERS = (ARM_HEADER, CONTENT_HEADER, ACCOUNT_HEADER)  # never a client's to set
RETRY_AFTER_SECONDS = 1
_UNANSWERED_FLAGS = ["UH", "UF", "UO", "UC", "UR", "URX", "UT"]


def listener(plane: DataPlane) -> dict[str, Any]:
    return {
        "name": "gateway",
        "address": socket_address(plane.host, plane.gateway_port),
        "per_connection_buffer_limit_bytes": buffer_bytes(plane),
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
    network = f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "@type": network,
        "stat_prefix": "gateway",
        "normalize_path": True,
        "use_remote_address": True,
        "server_name": "weir",
        "stream_idle_timeout": "60s",
        "request_headers_timeout": "10s",
        "request_timeout": "60s",
        "early_header_mutation_extensions": [_forget_own_headers()],
        "access_log": [_access_log(plane)],
        "local_reply_config": _local_replies(plane),
        "rds": {"route_config_name": ROUTES, "config_source": watched_file(plane.routes_file)},
        "http_filters": [
            _filter(
                "envoy.filters.http.buffer",
                "buffer.v3.Buffer",
                {"max_request_bytes": plane.maximum_body_bytes},
            ),
            _filter(
                CONTENT_FILTER,
                "lua.v3.Lua",
                {"default_source_code": {"inline_string": CONTENT_SCRIPT.read_text("utf-8")}},
            ),
            _filter("envoy.filters.http.router", "router.v3.Router", {}),
        ],
    }


def _filter(name: str, kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "typed_config": {"@type": f"{EXTENSIONS}.filters.http.{kind}", **settings},
    }


def _forget_own_headers() -> dict[str, Any]:
    """Before any route is chosen, and whatever becomes of the script."""
    kind = "http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{EXTENSIONS}.{kind}",
            "mutations": [{"remove": header} for header in OWN_HEADERS],
        },
    }


def _access_log(plane: DataPlane) -> dict[str, Any]:
    """One JSON line a request: what the judge needs, and nothing that a user wrote."""
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog",
            "path": str(plane.access_log),
            "log_format": {
                "json_format": {
                    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
                    "route": "%ROUTE_NAME%",
                    "method": "%REQ(:METHOD)%",
                    "status": "%RESPONSE_CODE%",
                    "microseconds": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
                    "arm": f"%REQ({ARM_HEADER.upper()})%",
                    "content": f"%REQ({CONTENT_HEADER.upper()})%",
                    "priority": f"%REQ({PRIORITY_HEADER.upper()})%",
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
    """What Envoy answers itself is JSON with an `error`; a 503 says when to come back."""
    too_large = (
        f"the body is larger than {plane.maximum_body_bytes} bytes "
        "(serving.maximum_body_bytes); send fewer or smaller events"
    )
    unanswered = "no model server answered; repeat the request (details: the gateway's access log)"
    unanswered_flags = {"response_flag_filter": {"flags": _UNANSWERED_FLAGS}}
    later = {"header": {"key": "retry-after", "value": str(RETRY_AFTER_SECONDS)}}
    return {
        "body_format": _error_format("%LOCAL_REPLY_BODY%"),
        "mappers": [
            {"filter": _status(413), "body_format_override": _error_format(too_large)},
            {
                "filter": unanswered_flags,
                "body_format_override": _error_format(unanswered),
                "headers_to_add": [later],
            },
            {"filter": _status(503), "headers_to_add": [later]},  # overloaded, or no champion
        ],
    }


def _error_format(message: str) -> dict[str, Any]:
    return {"json_format": {"error": message}}


def _status(code: int) -> dict[str, Any]:
    value = {"default_value": code, "runtime_key": f"weir.status_{code}"}
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": value}}}
