"""What the target asks of a cluster, and the one door to the `kubernetes` package behind it.

Objects are plain JSON as the API server has them. A write carries the `resourceVersion` that was
read, so nothing that somebody else wrote meanwhile is lost: the server answers 409, here
`ConflictError`. Every write is strictly validated and signed by the field manager `weir`.
See kubernetes.io/docs/reference/using-api: "API Concepts", resource versions, field validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from data_contracts.errors import BadInput, ConfigurationError, ServiceUnavailable, WeirError

FIELD_MANAGER = "weir"
REQUEST_SECONDS = 10.0
Object = dict[str, Any]


class ConflictError(WeirError):
    """Somebody else wrote the object since it was read, or has created it: read it again."""


class ForbiddenError(WeirError):
    """The account that the controller runs as may not do this."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, and where the API server keeps it; an empty `group` is the core's."""

    group: str
    version: str
    plural: str
    name: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None) -> str:
        """
        >>> DEPLOYMENT.path("weir")
        '/apis/apps/v1/namespaces/weir/deployments'
        >>> NODE.path("weir")
        '/api/v1/nodes'
        """
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}"


INFERENCE_SERVICE = Kind("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
EXTENSION_POLICY = Kind(
    "gateway.envoyproxy.io", "v1alpha1", "envoyextensionpolicies", "EnvoyExtensionPolicy"
)
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
POD = Kind("", "v1", "pods", "Pod")
SERVING_RUNTIME = Kind("serving.kserve.io", "v1alpha1", "servingruntimes", "ServingRuntime")
NODE = Kind("", "v1", "nodes", "Node", namespaced=False)


class Cluster(Protocol):
    """One namespace of a cluster. Each call may raise ForbiddenError and ServiceUnavailable."""

    def get(self, kind: Kind, name: str) -> Object | None:
        """The object, or None where there is none, or where the server has no such kind."""

    def find(self, kind: Kind, app: str | None = None) -> list[Object]:
        """Those whose label `app` is this; without one, all of every namespace."""

    def create(self, kind: Kind, wanted: Object) -> None:
        """Raises ConflictError where it exists, BadInput where the server refuses it."""

    def patch(self, kind: Kind, name: str, change: Object) -> None:
        """A JSON merge patch (RFC 7396). Raises ConflictError unless the object is still as
        `metadata.resourceVersion` of the change says, BadInput where the server refuses it.
        """

    def log(self, pod: str, container: str, lines: int) -> str:
        """The end of a container's log; empty where it has none."""


class KubernetesCluster:
    """`Cluster` over an API server: `client` is a `kubernetes.client.ApiClient`."""

    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    def get(self, kind: Kind, name: str) -> Object | None:
        try:
            answer: Object = self._ask("GET", f"{kind.path(self._namespace)}/{name}")
        except _AbsentError:
            return None
        return answer

    def find(self, kind: Kind, app: str | None = None) -> list[Object]:
        query = [] if app is None else [("labelSelector", f"app={app}")]
        path = kind.path(None if app is None else self._namespace)
        try:
            items: list[Object] = self._ask("GET", path, query)["items"]
        except _AbsentError:
            return []
        return items

    def create(self, kind: Kind, wanted: Object) -> None:
        self._write("POST", kind, kind.path(self._namespace), wanted)

    def patch(self, kind: Kind, name: str, change: Object) -> None:
        self._write("PATCH", kind, f"{kind.path(self._namespace)}/{name}", change)

    def log(self, pod: str, container: str, lines: int) -> str:
        path = f"{POD.path(self._namespace)}/{pod}/log"
        query = [("container", container), ("tailLines", str(lines))]
        try:
            return str(self._raw("GET", path, query, None).decode(errors="replace"))
        except (_AbsentError, BadInput):  # 400: the container has not started
            return ""

    def _write(self, method: str, kind: Kind, path: str, wanted: Object) -> None:
        query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")]
        try:
            self._ask(method, path, query, wanted)
        except _AbsentError as gone:
            if method == "PATCH":
                raise ConflictError(f"{path} is gone") from None
            raise ConfigurationError(
                f"the API server knows no {kind.name} of {kind.api_version}: {gone}; install its "
                "CRDs"
            ) from None

    def _ask(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Object | None = None,
    ) -> Any:
        return orjson.loads(self._raw(method, path, query or [], body))

    def _raw(
        self, method: str, path: str, query: list[tuple[str, str]], body: Object | None
    ) -> Any:
        from kubernetes.client import ApiException
        from urllib3.exceptions import HTTPError

        try:
            response = self._client.call_api(
                path,
                method,
                query_params=query,
                header_params={"Accept": "application/json", "Content-Type": _content(method)},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=REQUEST_SECONDS,
            )
        except ApiException as refusal:
            raise _meant(refusal, f"{method} {path}") from None
        except (HTTPError, OSError) as error:
            raise ServiceUnavailable(
                f"the Kubernetes API did not answer {method} {path}: {error}; see KUBECONFIG"
            ) from None
        return response.data


def _content(method: str) -> str:
    return "application/merge-patch+json" if method == "PATCH" else "application/json"


class _AbsentError(WeirError):
    """404: no such object, or no such kind."""


def _meant(refusal: Any, what: str) -> WeirError:
    """The error of this tree that an answer of the API server stands for."""
    said = _message(refusal)
    if refusal.status == 404:
        return _AbsentError(said)
    if refusal.status == 409:
        return ConflictError(said)
    if refusal.status in (401, 403):
        return ForbiddenError(f"{what}: {said}; bind the role of infra/kubernetes to the account")
    if refusal.status in (400, 422):
        return BadInput(f"the API server refused {what}: {said}")
    return ServiceUnavailable(f"{what}: status {refusal.status}: {said}; trying again may help")


def _message(refusal: Any) -> str:
    try:
        return str(orjson.loads(refusal.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(refusal.reason)


def connect(namespace: str) -> KubernetesCluster:
    """The cluster that this pod runs in, else the current context of KUBECONFIG.

    Raises ConfigurationError where there is neither.
    """
    from kubernetes import config
    from kubernetes.client import ApiClient

    try:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            config.load_kube_config()
    except (config.ConfigException, OSError) as error:
        raise ConfigurationError(
            f"rollout.target = kserve, and no cluster is known: {error}; run inside one, or set "
            "KUBECONFIG to a file whose current context names it"
        ) from None
    return KubernetesCluster(ApiClient(), namespace)
