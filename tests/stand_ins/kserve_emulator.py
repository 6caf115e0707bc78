"""An emulator of what a cluster does by itself: KServe's controller and webhook, and a gateway's.

It says what KServe 0.21 in Standard mode would say of an InferenceService (its status, and where
the cluster has them the Deployments and one pod for all of each), and that a gateway took an
HTTPRoute. It is no KServe: names, merging and replicas follow the source that
`serving/rollout/targets/kserve_services.py` cites, pods are ready one turn after they were made.
"""

from __future__ import annotations

from typing import Any, Protocol

from data_contracts.errors import BadInput
from serving.rollout.targets.kserve_cluster import (
    DEPLOYMENT,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    POD,
    Cluster,
    ConflictError,
    Kind,
    Object,
)
from serving.rollout.targets.kserve_services import MODEL_URI, RESTART, VERSION


class EmulatedCluster(Cluster, Protocol):
    """A cluster that also takes what only controllers write."""

    has_deployments: bool

    def new_key(self) -> str: ...

    def set_status(self, kind: Kind, seen: Object, status: Object) -> None: ...

    def put(self, kind: Kind, wanted: Object) -> None: ...

    def drop(self, kind: Kind, name: str) -> None: ...


class Emulator:
    """One turn of every controller is `reconcile`. Tests break slots and versions by name."""

    def __init__(self, cluster: EmulatedCluster) -> None:
        self.never_ready: set[str] = set()  # versions
        self.refuses_routes = ""  # why, where the gateway does not take them
        self.stopped = False  # no controller runs: nothing is noticed
        self._cluster = cluster
        self._broken: dict[str, tuple[str, str]] = {}  # slot: what it has, and of which pods
        self._seen: dict[str, str] = {}  # Deployment: the pods that were made a turn ago

    def kill(self, slot: str) -> None:
        """Its pods crash until they are started anew."""
        self._broken[slot] = ("dead", self._pods_of(slot))

    def hang(self, slot: str) -> None:
        """Its pods run and are not ready until they are started anew."""
        self._broken[slot] = ("hung", self._pods_of(slot))

    def ails(self, slot: str, pods: str) -> str:
        """What keeps these pods of the slot from being ready: dead, hung or nothing."""
        ailment, of = self._broken.get(slot, ("", ""))
        return ailment if of == pods else ""

    def reconcile(self) -> None:
        if self.stopped:
            return
        for service in self._cluster.find(INFERENCE_SERVICE):
            self._serve(service)
        for route in self._cluster.find(HTTP_ROUTE):
            self._take(route)

    def _pods_of(self, slot: str) -> str:
        for service in self._cluster.find(INFERENCE_SERVICE):
            for predictor in _effective(service):
                if predictor.get("name") == slot:
                    return _pods(predictor)
        return ""

    def _serve(self, service: Object) -> None:
        available: dict[str | None, int] = {}
        main, *canaries = _effective(service)
        for predictor in (*canaries, main):  # KServe's order: what canaries have is known first
            taken = sum(available.values()) if predictor is main else 0
            replicas = predictor.get("minReplicas", 1)
            replicas = max(replicas - taken, 1) if taken else replicas
            available[predictor.get("name")] = self._run(service, predictor, replicas)
        if self._cluster.has_deployments:
            self._sweep(service)
        self._report(service, available)

    def _run(self, service: Object, predictor: Object, replicas: int) -> int:
        """Pods of the predictor that are available: all or none, a turn after they were made."""
        name, pods = _deployment_name(service, predictor), _pods(predictor)
        was_made = self._seen.get(name) == pods
        self._seen[name] = pods
        ailment = self.ails(predictor.get("name", ""), pods)
        well = not ailment and predictor["labels"].get(VERSION) not in self.never_ready
        available = replicas if was_made and well else 0
        if self._cluster.has_deployments:
            self._show(name, predictor, replicas, available, ailment)
        return available

    def _show(
        self, name: str, predictor: Object, replicas: int, available: int, ailment: str
    ) -> None:
        meta = {"labels": predictor["labels"], "annotations": predictor["annotations"]}
        self._cluster.put(
            DEPLOYMENT,
            {
                "metadata": {"name": name},
                "spec": {"replicas": replicas, "template": {"metadata": meta}},
                "status": {
                    "replicas": replicas,
                    "updatedReplicas": replicas,
                    "availableReplicas": available,
                    "observedGeneration": 10**9,
                },
            },
        )
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting"}
        state = {"waiting": waiting} if ailment == "dead" else {"running": {}}
        self._cluster.put(
            POD,
            {
                "metadata": {"name": f"{name}-0", "labels": {"app": f"isvc.{name}"}},
                "spec": {"containers": []},
                "status": {"containerStatuses": [{"name": "kserve-container", "state": state}]},
            },
        )

    def _sweep(self, service: Object) -> None:
        """KServe deletes the Deployments of predictors that are named no more."""
        named = {_deployment_name(service, one) for one in _effective(service)}
        prefix = f"{service['metadata']['name']}-"
        for name in [one for one in self._seen if one.startswith(prefix) and one not in named]:
            del self._seen[name]
            self._cluster.drop(DEPLOYMENT, name)
            self._cluster.drop(POD, f"{name}-0")

    def _report(self, service: Object, available: dict[str | None, int]) -> None:
        main = service["spec"]["predictor"].get("name")
        is_ready = available[main] > 0 or service["spec"]["predictor"].get("minReplicas") == 0
        status: Object = {
            "observedGeneration": service["metadata"]["generation"],
            "conditions": [{"type": "PredictorReady", "status": "True" if is_ready else "False"}],
        }
        if canaries := service["spec"].get("canary"):
            status["canaryStatuses"] = [
                {
                    "name": one["predictor"]["name"],
                    "ready": available[one["predictor"]["name"]] > 0,
                    "trafficPercent": one["trafficPercent"],
                }
                for one in canaries
            ]
        if service.get("status") != status:
            self._set(INFERENCE_SERVICE, service, status)

    def _take(self, route: Object) -> None:
        generation = route["metadata"]["generation"]
        said = {
            "lastTransitionTime": "2026-01-05T00:00:00Z",
            "observedGeneration": generation,
            "status": "False" if self.refuses_routes else "True",
            "reason": self.refuses_routes or "Done",
            "message": "emulated",
        }
        parent = {
            "parentRef": route["spec"]["parentRefs"][0],
            "controllerName": "weir.dev/emulated-gateway",
            "conditions": [{**said, "type": one} for one in ("Accepted", "ResolvedRefs")],
        }
        if route.get("status", {}).get("parents") != [parent]:
            self._set(HTTP_ROUTE, route, {"parents": [parent]})

    def _set(self, kind: Kind, seen: Object, status: Object) -> None:
        try:
            self._cluster.set_status(kind, seen, status)
        except ConflictError:
            return  # it was written meanwhile: the next turn looks again


def admit(service: Object) -> None:
    """KServe's webhook on canaries. Raises BadInput in its words."""
    main = service["spec"]["predictor"]
    canaries = service["spec"].get("canary") or []
    names = [main.get("name"), *(one["predictor"].get("name") for one in canaries)]
    if canaries and len(set(names)) < len(names):
        raise BadInput(f"admission webhook denied the request: names {names} conflict")
    for canary in canaries:
        predictor = canary["predictor"]
        for key in ("maxReplicas", "scaleTarget", "scaleMetric", "autoScaling"):
            if key in predictor:
                raise BadInput(f"admission webhook denied the request: canary must not set {key}")
        if predictor.get("minReplicas", 0) > main.get("minReplicas", 1):
            raise BadInput("admission webhook denied the request: minReplicas must not exceed")
    if sum(one["trafficPercent"] for one in canaries) > 100:
        raise BadInput("admission webhook denied the request: sum must be <= 100")


def _effective(service: Object) -> list[Object]:
    """The predictors as KServe runs them: a canary is laid over the main one."""
    main = service["spec"]["predictor"]
    canaries = [one["predictor"] for one in service["spec"].get("canary") or []]
    merged = [{**main, **one, **_laid_over(main, one)} for one in canaries]
    bare: dict[str, Any] = {"labels": {}, "annotations": {}}
    return [{**bare, **one} for one in (main, *merged)]


def _laid_over(main: Object, canary: Object) -> Object:
    return {key: {**main.get(key, {}), **canary.get(key, {})} for key in ("labels", "annotations")}


def _pods(predictor: Object) -> str:
    annotations = predictor["annotations"]
    of = (annotations.get(MODEL_URI), predictor["labels"].get(VERSION), annotations.get(RESTART))
    return repr((of, predictor.get("model")))


def _deployment_name(service: Object, predictor: Object) -> str:
    name = predictor.get("name")
    return "-".join([service["metadata"]["name"], *([name] if name else []), "predictor"])
