"""The pods of a slot in one pool, as far as the cluster lets our account see them.

What may not be asked is said once, with what follows from it; nothing is guessed in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from data_contracts.config import KServePool
from serving.rollout.targets import kserve_rules, kserve_status
from serving.rollout.targets.kserve_cluster import (
    DEPLOYMENT,
    INFERENCE_SERVICE,
    NODE,
    POD,
    SERVING_RUNTIME,
    Cluster,
    ForbiddenError,
    Kind,
    Object,
)
from serving.rollout.targets.kserve_services import CONTAINER, app_label, service_name, slots_in

_LOG_LINES = 5
_UNCHECKED = "it is not checked whether accelerators are free before a slot asks for them"
T = TypeVar("T")


class Pods:
    """Questions about a slot in a pool; `say` gets each line once."""

    def __init__(self, cluster: Cluster, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._say = say
        self._said: set[str] = set()

    def alive(self, pool: KServePool, slot: str) -> bool:
        """Whether the slot is to have pods here, and not all of them fail for good."""
        service = self._service(pool)
        predictor = slots_in(service).get(slot)
        if service is None or predictor is None or not predictor.get("minReplicas"):
            return False
        if kserve_status.failure(service, slot):
            return False
        return not kserve_status.are_all_dead(self._found(pool, slot))

    def ready(self, pool: KServePool, slot: str) -> bool:
        """Whether KServe calls the slot ready, and its Deployment has all pods of this model."""
        service = self._service(pool)
        predictor = slots_in(service).get(slot)
        if service is None or predictor is None or not predictor.get("minReplicas"):
            return False
        if not kserve_status.is_ready(service, slot):
            return False
        deployment = self._deployment(pool, slot)
        return deployment is None or kserve_status.is_rolled_out(
            deployment, predictor, pool.replicas
        )

    def words(self, pool: KServePool, slot: str) -> list[str]:
        """Why the slot does not answer, in lines; the end of its first pod's log last."""
        service = self._service(pool)
        if service is None or slot not in slots_in(service):
            return []
        pods = self._found(pool, slot)
        lines = [kserve_status.failure(service, slot), *kserve_status.words(pods)]
        if pods:
            lines.append(self._log(pods[0]["metadata"]["name"]))
        return [line for line in dict.fromkeys(lines) if line]

    def check_capacity(self, pool: KServePool, slot: str, share: str) -> None:
        """Raises ContractViolation where the slot lacks pods that could answer its share."""
        deployment = self._deployment(pool, slot) or {}
        kserve_rules.check_capacity(
            slot,
            share,
            is_ready=self.ready(pool, slot),
            replicas=slots_in(self._service(pool))[slot].get("minReplicas", 0),
            pods=deployment.get("status", {}).get("availableReplicas", 0),
        )

    def check_accelerators(self, pool: KServePool, slot: str) -> None:
        """Raises ContractViolation where a new slot's pods ask for more than the nodes have free.

        A slot that is there already is replaced a pod at a time, within what it has.
        """
        service = self._service(pool)
        container = {} if service is None else service["spec"]["predictor"].get("model", {})
        resources = container.get("resources") or kserve_rules.runtime_resources(
            self._told(lambda: self._cluster.get(SERVING_RUNTIME, pool.runtime), None, _UNCHECKED)
        )
        asked = kserve_rules.accelerators(resources)
        if not asked:
            return
        wanted = {name: count * pool.replicas for name, count in asked.items()}
        nodes, pods = self._everywhere(NODE), self._everywhere(POD)
        if nodes is not None and pods is not None:
            kserve_rules.check_accelerators(slot, wanted, nodes, pods)

    def say_once(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._say(line)

    def _service(self, pool: KServePool) -> Object | None:
        return self._cluster.get(INFERENCE_SERVICE, pool.inference_service)

    def _deployment(self, pool: KServePool, slot: str) -> Object | None:
        return self._told(
            lambda: self._cluster.get(DEPLOYMENT, service_name(pool.inference_service, slot)),
            None,
            "KServe's word for readiness is taken, for which one ready pod is enough",
        )

    def _found(self, pool: KServePool, slot: str) -> list[Object]:
        label = app_label(pool.inference_service, slot)
        return self._told(
            lambda: self._cluster.find(POD, label), [], "pods that fail are not seen as dead"
        )

    def _log(self, pod: str) -> str:
        return self._told(
            lambda: self._cluster.log(pod, CONTAINER, _LOG_LINES), "", "logs of pods are not shown"
        )

    def _everywhere(self, kind: Kind) -> list[Object] | None:
        return self._told(lambda: self._cluster.find(kind), None, _UNCHECKED)

    def _told(self, ask: Callable[[], T], otherwise: T, consequence: str) -> T:
        """The answer, or `otherwise` where our account may not ask."""
        try:
            return ask()
        except ForbiddenError as error:
            self.say_once(f"{error}; until then {consequence}")
            return otherwise
