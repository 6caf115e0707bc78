"""The cluster target: slots are predictors of an InferenceService, traffic is an HTTPRoute.

Everything that there is to know stands in the cluster: which slot holds what (labels and
annotations of the predictors), who gets which share (the route, and its annotation). So a
controller that died anywhere is followed by one that reads it there. What somebody changes by
hand is put back at the next `deploy`, `restart` or `set_traffic`, and said.

A rollback is two writes in this order: the route, until its gateway has taken it; then the
canary's predictor. `remove` refuses a slot that any rule of the route still names.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping

from data_contracts.config import KServe, KServePool
from data_contracts.errors import BadInput, ContractViolation, ServiceUnavailable
from serving.rollout.targets import kserve_routes
from serving.rollout.targets.base import Counters, Deployment, Traffic
from serving.rollout.targets.envoy_routes import Routing
from serving.rollout.targets.kserve_cluster import (
    EXTENSION_POLICY,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    Cluster,
    ForbiddenError,
    Object,
)
from serving.rollout.targets.kserve_pods import Pods
from serving.rollout.targets.kserve_rules import check_names, check_route, check_service
from serving.rollout.targets.kserve_services import (
    deployment_of,
    service_name,
    settled,
    slots_in,
    with_restart,
    with_slot,
    without_slot,
)
from serving.rollout.targets.kserve_writes import covers, shown, write

INCOMPLETE = Deployment("", "incomplete")  # of a slot whose pools hold different models
_POLL_SECONDS = 0.1


class KServeTarget:
    """TrafficTarget on a cluster.

    `counts` answers for the pods whose names match a pattern; `say` gets a line for people where
    the cluster was not as it was left, or does not tell what we ask.
    """

    def __init__(
        self,
        settings: KServe,
        slots: tuple[str, ...],
        cluster: Cluster,
        counts: Callable[[str], Counters],
        *,
        say: Callable[[str], None] = print,
        new_key: Callable[[], str] = lambda: secrets.token_hex(8),
        sleep: Callable[[float], object] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.slots = slots
        self._settings = settings
        self._pools = tuple(settings.pools.values())
        self._cluster = cluster
        self._pods = Pods(cluster, say)
        self._counts = counts
        self._say = say
        self._new_key = new_key
        self._sleep = sleep
        self._monotonic = monotonic
        self._set: Traffic | None = None  # by this process: a route that is gone was deleted

    def deploy(self, slot: str, model_uri: str, version: str) -> None:
        """Raises ContractViolation, before anything is written, for a name that cannot be one and
        for more accelerators than are free.
        """
        model = Deployment(model_uri, version)
        for pool in self._pools:
            check_names(pool.inference_service, slot, model)
            if slot not in slots_in(self._service(pool)):
                self._pods.check_accelerators(pool, slot)
        for pool in self._pools:
            self._deploy(pool, slot, model)

    def deployed(self) -> Mapping[str, Deployment]:
        held = [
            {slot: deployment_of(one) for slot, one in slots_in(self._service(pool)).items()}
            for pool in self._pools
        ]
        return {slot: _agreed([one.get(slot) for one in held]) for one in held for slot in one}

    def alive(self, slot: str) -> bool:
        """Whether every pool is to have pods of the slot, and not all of them fail for good."""
        return all(self._pods.alive(pool, slot) for pool in self._pools)

    def ready(self, slot: str) -> bool:
        """Whether all pods of every pool pass their readiness probe, which asks the model itself,
        and none of another model is left.
        """
        return all(self._pods.ready(pool, slot) for pool in self._pools)

    def restart(self, slot: str) -> None:
        token = self._new_key()
        for pool in self._pools:
            self._change(pool, lambda found, of: with_restart(found, of, slot, token))

    def remove(self, slot: str) -> None:
        """The slot's pods end after their grace period, in which they answer what they have.

        Raises ValueError for a slot that answers requests or is mirrored to: copies to a Service
        that is gone fail the rule that makes them.
        """
        asked = kserve_routes.slots_asked(self._settings, self._route())
        if slot in asked:
            raise ValueError(f"slot {slot} {asked[slot]}; take its traffic away first")
        heirs = tuple(asked)
        for pool in self._pools:
            self._change(pool, lambda found, of: without_slot(found, of, slot, heirs))

    def set_traffic(self, traffic: Traffic | None) -> None:
        """Raises ContractViolation, before anything is written, for a slot that could not answer
        its new share; what goes to the champion is never refused for that.
        """
        if traffic is not None:
            self._check_slots(traffic)
        routing = self._write_route(traffic)
        self._wait_for_gateway()
        self._set = traffic
        if traffic is not None:
            self._settle(traffic)
        self._write_affinity_key(routing.affinity_key)

    def traffic(self) -> Traffic | None:
        return kserve_routes.traffic_in(self._settings, self._route())

    def last_words(self, slot: str) -> str:
        """Why KServe, the scheduler or a container gave up, then the end of a failing pod's log."""
        return "\n".join(line for pool in self._pools for line in self._pods.words(pool, slot))

    def counters(self, slot: str) -> Counters:
        names = [service_name(pool.inference_service, slot) for pool in self._pools]
        return self._counts(f"({'|'.join(names)})-.+")

    def _service(self, pool: KServePool) -> Object | None:
        return self._cluster.get(INFERENCE_SERVICE, pool.inference_service)

    def _route(self) -> Object | None:
        return self._cluster.get(HTTP_ROUTE, self._settings.route)

    def _deploy(self, pool: KServePool, slot: str, model: Deployment) -> None:
        held = slots_in(self._service(pool)).get(slot)
        self._write_service(
            pool,
            lambda found: with_slot(found, pool, self._settings.namespace, slot, model),
            is_repair=held is not None and deployment_of(held) == model,
        )

    def _change(
        self,
        pool: KServePool,
        change: Callable[[Object, KServePool], Object],
        *,
        is_repair: bool = False,
    ) -> None:
        """Write what `change` makes of the pool's InferenceService; nothing where there is none."""
        self._write_service(
            pool, lambda found: None if found is None else change(found, pool), is_repair=is_repair
        )

    def _write_service(
        self,
        pool: KServePool,
        build: Callable[[Object | None], Object | None],
        *,
        is_repair: bool,
    ) -> None:
        name = pool.inference_service
        change = write(self._cluster, INFERENCE_SERVICE, name, build, check_service)
        if change is not None and is_repair:
            self._say(f"InferenceService {name} was not as it was left: put back {shown(change)}")

    def _check_slots(self, traffic: Traffic) -> None:
        """What carries traffic must be there; what gets more of it must have its pods."""
        now = self.traffic()
        for slot, share in _shares(traffic).items():
            for pool in self._pools:
                if slot not in slots_in(self._service(pool)):
                    raise ContractViolation(
                        "slot", slot, f"{share} for a slot that holds no model", "deploy one first"
                    )
                if slot != traffic.slots.get("stable") and _gets_more(slot, traffic, now):
                    self._pods.check_capacity(pool, slot, share)

    def _write_route(self, traffic: Traffic | None) -> Routing:
        """The key lasts a rollout: when it is over, the next one meets other accounts."""
        before: list[Object | None] = []
        routings: list[Routing] = []

        def build(found: Object | None) -> Object | None:
            last = kserve_routes.asked_of(found)
            is_over = _answering_arms(last.traffic) > 1 and _answering_arms(traffic) <= 1
            key = self._new_key() if is_over or not last.affinity_key else last.affinity_key
            routings.append(Routing(traffic, key))
            before.append(found)
            wanted = kserve_routes.route(self._settings, routings[-1], found)
            return None if found is not None and covers(found, wanted) else wanted

        name = self._settings.route
        change = write(self._cluster, HTTP_ROUTE, name, build, check_route)
        if change is not None and traffic is not None:
            self._say_drift(before[-1], traffic, change)
        return routings[-1]

    def _say_drift(self, before: Object | None, traffic: Traffic, change: Object) -> None:
        name = self._settings.route
        if before is None:
            if self._set == traffic:
                self._say(f"HTTPRoute {name} was deleted by somebody: made again")
        elif kserve_routes.asked_of(before).traffic == traffic:
            self._say(f"HTTPRoute {name} was changed by hand: put back {shown(change)}")

    def _wait_for_gateway(self) -> None:
        """Until the gateway's controller says that it took the route as it is now."""
        deadline = self._monotonic() + self._settings.gateway_seconds
        while True:
            found = self._route()
            why = "it is gone" if found is None else kserve_routes.problem(found)
            if why is None:
                return
            if self._monotonic() >= deadline:
                raise ServiceUnavailable(
                    f"Gateway {self._settings.gateway} did not take HTTPRoute "
                    f"{self._settings.route} within {self._settings.gateway_seconds:.0f} s: {why}; "
                    f"see kubectl -n {self._settings.namespace} describe httproute "
                    f"{self._settings.route}"
                )
            self._sleep(_POLL_SECONDS)

    def _settle(self, traffic: Traffic) -> None:
        """Slots as they are meant to be; requests no longer go to a predictor that is not ours."""
        heirs = sorted(traffic.slots.values(), key=lambda slot: -traffic.visible_share(slot))
        for pool in self._pools:
            self._change(pool, lambda found, of: settled(found, of, heirs), is_repair=True)

    def _write_affinity_key(self, key: str) -> None:
        name = self._settings.affinity_policy
        if name is None:
            return
        try:
            write(
                self._cluster,
                EXTENSION_POLICY,
                name,
                lambda found: None if found is None else _with_key(found, key),
                lambda _: None,
            )
        except (BadInput, ForbiddenError) as error:
            self._pods.say_once(f"the affinity key stays as it was: {error}")


def _agreed(held: list[Deployment | None]) -> Deployment:
    first = held[0]
    return first if first is not None and all(one == first for one in held) else INCOMPLETE


def _shares(traffic: Traffic) -> dict[str, str]:
    """What slots are given, in words: those with requests, and the one with copies."""
    shares = {
        slot: f"{weight} per cent"
        for arm, slot in traffic.slots.items()
        if (weight := traffic.weights.get(arm, 0))
    }
    return shares if traffic.mirror is None else {**shares, traffic.mirror: "copies"}


def _gets_more(slot: str, traffic: Traffic, now: Traffic | None) -> bool:
    if traffic.mirror == slot:
        return now is None or now.mirror != slot
    return traffic.visible_share(slot) > (0 if now is None else now.visible_share(slot))


def _answering_arms(traffic: Traffic | None) -> int:
    return 0 if traffic is None else sum(weight > 0 for weight in traffic.weights.values())


def _with_key(policy: Object, key: str) -> Object:
    scripts = [
        {**one, "filterContext": {**one["filterContext"], "affinity_key": key}}
        if "affinity_key" in one.get("filterContext", {})
        else one
        for one in policy["spec"].get("lua", [])
    ]
    return {**policy, "spec": {**policy["spec"], "lua": scripts}}
