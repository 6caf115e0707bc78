"""The data plane as Envoy sees it: its ports, files and names, and the bootstrap.

Each server of a slot is a cluster on a fixed port. A rollout moves only `routes.json` (who answers
what share, who gets copies; see `envoy_routes`) and `endpoints-{server}.json` (who answers where a
server fails; see `envoy_clusters`); Envoy watches both for renames. See envoyproxy.io/docs:
"Dynamic configuration (filesystem)" and "Overload manager".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

Content = Literal["text", "media"]

ARM_HEADER = "x-weir-arm"
VERSION_HEADER = "x-weir-model-version"
CONTENT_HEADER = "x-weir-content"
PRIORITY_HEADER = "x-weir-priority"
ACCOUNT_HEADER = "x-weir-account"
UPSTREAM_HOST_NAME = "weir"  # Envoy adds "-shadow" for copies; a client's own Host never arrives
PREDICT_ROUTE = "predict"
ROUTES = "weir-routes"
EXTENSIONS = "type.googleapis.com/envoy.extensions"
_MEDIA_SUFFIX = "-media"


@dataclass(frozen=True)
class DataPlane:
    """Where the gateway and its slots listen (all on `host`), and where its files are.

    A slot has one server for everything; where `media_slots` names a second port for it, that
    server, `{slot}-media`, answers what carries media, with `media_variables` in its environment.
    `maximum_heap_bytes` is what the gateway may hold before it turns requests away.
    """

    host: str
    gateway_port: int
    admin_port: int
    slots: Mapping[str, int]
    folder: Path
    access_log: Path
    maximum_body_bytes: int
    model_name: str
    media_slots: Mapping[str, int] = field(default_factory=dict)
    media_variables: Mapping[str, str] = field(default_factory=dict)
    maximum_heap_bytes: int = 512 * 1_048_576

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

    @property
    def contents(self) -> tuple[Content, ...]:
        """The pools in each slot: media's last, which takes whatever is not surely text."""
        return ("text", "media") if self.media_slots else ("media",)

    @property
    def servers(self) -> Mapping[str, int]:
        """Port of every server, by name."""
        media = {f"{slot}{_MEDIA_SUFFIX}": port for slot, port in self.media_slots.items()}
        return {**self.slots, **media}

    def server(self, slot: str, content: Content) -> str:
        """Name of the slot's server for this content."""
        return f"{slot}{_MEDIA_SUFFIX}" if content == "media" and self.media_slots else slot

    def servers_of(self, slot: str) -> tuple[str, ...]:
        return tuple(self.server(slot, content) for content in self.contents)

    def endpoints_file(self, server: str) -> Path:
        return self.folder / f"endpoints-{server}.json"

    def address(self, server: str) -> str:
        """`host:port` of the server, as the access log names it."""
        return f"{self.host}:{self.servers[server]}"


def cluster_name(server: str) -> str:
    return f"slot-{server}"


def discovery(resource: dict[str, Any]) -> dict[str, Any]:
    """A discovery response whose version is its content, so that applying it can be seen."""
    digest = hashlib.sha256(orjson.dumps(resource, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return {"version_info": digest[:16], "resources": [resource]}


def socket_address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def watched_file(path: Path) -> dict[str, Any]:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def buffer_bytes(plane: DataPlane) -> int:
    """Room for the largest body, so that it can be sent again and mirrored."""
    return plane.maximum_body_bytes + 65_536
