"""Slots inside an InferenceService: its predictor is one of them, its canaries are the others.

KServe never carries our weights: every canary has `trafficPercent` 0 and pods of its own by
`minReplicas`, and the route of `kserve_routes` shares out requests. So any slot may become the
main predictor, by its name alone, without a pod restarting. Nothing here talks to a cluster.

What KServe 0.21 does with such an object, and what follows from it (kserve/kserve at aaac4e2,
pkg/controller/v1beta1/inferenceservice/components/predictor.go): it lays a canary over the main
predictor, so that a slot states everything itself; it takes the ready canaries' replicas off the
main predictor's, which therefore asks for theirs beside its own; it deletes the Deployment of a
predictor that is named no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from data_contracts.config import KServePool
from serving.rollout.targets.base import Deployment
from serving.rollout.targets.kserve_cluster import INFERENCE_SERVICE, Object

PREFIX = "weir.dev"
VERSION = f"{PREFIX}/model-version"  # a label: pods know by it what they serve
MODEL_URI = f"{PREFIX}/model-uri"
RESTART = f"{PREFIX}/restart"  # an annotation of the pods: another value starts them anew
OURS = {"app.kubernetes.io/managed-by": "weir", "app.kubernetes.io/part-of": "weir"}
MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
SCALING = ("maxReplicas", "scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling")
CONTAINER = "kserve-container"


def service_name(inference_service: str, slot: str) -> str:
    """Of the slot's Service and Deployment, as KServe names them.

    >>> service_name("weir-text", "b")
    'weir-text-b-predictor'
    """
    return f"{inference_service}-{slot}-predictor"


def app_label(inference_service: str, slot: str) -> str:
    """The label `app` of the slot's pods."""
    return f"isvc.{service_name(inference_service, slot)}"


def is_ours(found: Object) -> bool:
    """Whether this object was made by us or handed over to us."""
    labels = found["metadata"].get("labels", {})
    return any(labels.get(key) == value for key, value in OURS.items())


def slots_in(service: Object | None) -> dict[str, Object]:
    """The predictors that hold a model of ours, by slot; the main one first."""
    if service is None:
        return {}
    return {one["name"]: one for one in _predictors(service) if _is_slot(one)}


def deployment_of(predictor: Object) -> Deployment:
    return Deployment(predictor["annotations"][MODEL_URI], predictor["labels"][VERSION])


def is_main(service: Object, slot: str) -> bool:
    return bool(service["spec"]["predictor"].get("name") == slot)


def with_slot(
    service: Object | None, pool: KServePool, namespace: str, slot: str, model: Deployment
) -> Object:
    """The model in the slot. A predictor that is not ours keeps its place: it may be answering."""
    service = _copied(service) if service is not None else _bare(pool, namespace)
    main, *others = _predictors(service)
    if slot in slots_in(service) or _is_vacant(main):
        taken = [one for one in (main, *others) if one.get("name") == slot and _is_slot(one)]
        place = taken[0] if taken else main
    else:
        place = _alike(main, slot)
        others.append(place)
    _fill(place, pool, slot, model)
    return _assembled(service, pool, main, others)


def without_slot(service: Object, pool: KServePool, slot: str, heirs: Sequence[str]) -> Object:
    """The slot emptied. The first of `heirs` that is here follows on the main predictor.

    Where nobody does, the predictor stays without pods and without a model: it is what the next
    slot is made like.
    """
    service = _copied(service)
    main, *others = _predictors(service)
    if slot not in slots_in(service):
        return service
    others = [one for one in others if one.get("name") != slot]
    if main.get("name") != slot:
        return _assembled(service, pool, main, others)
    following = _heir(others, heirs)
    if following is None:
        main["minReplicas"] = 0
        del main["annotations"][MODEL_URI]
        return _assembled(service, pool, main, others)
    return _assembled(service, pool, *_promoted(main, others, following))


def settled(service: Object, pool: KServePool, heirs: Sequence[str]) -> Object:
    """All slots as they are meant to be, whatever was changed by hand; a main predictor that is
    not ours gives way to the first of `heirs`, now that requests go to slots.
    """
    service = _copied(service)
    main, *others = _predictors(service)
    following = None if _is_slot(main) else _heir(others, heirs)
    if following is not None:
        main, others = _promoted(main, others, following)
    for one in (main, *others):
        if _is_slot(one):
            _fill(one, pool, one["name"], deployment_of(one))
    return _assembled(service, pool, main, others)


def with_restart(service: Object, pool: KServePool, slot: str, token: str) -> Object:
    """The slot's pods started anew, and as many of them as there should be."""
    changed = settled(service, pool, ())
    if slot in slots_in(changed):
        slots_in(changed)[slot]["annotations"][RESTART] = token
    return changed


def _bare(pool: KServePool, namespace: str) -> Object:
    """An InferenceService with nothing in it; Standard mode is said, never left to a default."""
    return {
        "apiVersion": INFERENCE_SERVICE.api_version,
        "kind": INFERENCE_SERVICE.name,
        "metadata": {
            "name": pool.inference_service,
            "namespace": namespace,
            "labels": dict(OURS),
            "annotations": {MODE: "Standard", AUTOSCALER: "none"},
        },
        "spec": {"predictor": {"minReplicas": 0}},
    }


def _copied(found: Object) -> Object:
    """Objects are JSON, which is read faster than it is copied."""
    copied: Object = orjson.loads(orjson.dumps(found))
    return copied


def _predictors(service: Object) -> list[Object]:
    canaries = service["spec"].get("canary") or []
    return [service["spec"]["predictor"], *(one["predictor"] for one in canaries)]


def _is_slot(predictor: Object) -> bool:
    return bool(predictor.get("name")) and MODEL_URI in predictor.get("annotations", {})


def _is_vacant(predictor: Object) -> bool:
    """Whether nothing answers here: no pods are asked for, or no model, as a manifest starts it."""
    if _is_slot(predictor):
        return False
    model = predictor.get("model")
    has_no_model = model is not None and not ({"storageUri", "storage"} & model.keys())
    return has_no_model or predictor.get("minReplicas") == 0


def _alike(main: Object, slot: str) -> Object:
    """A predictor like the main one, but for its name and its way of scaling."""
    made = _copied({key: main[key] for key in main if key not in SCALING})
    made.get("annotations", {}).pop(RESTART, None)
    return {**made, "name": slot}


def _fill(predictor: Object, pool: KServePool, slot: str, model: Deployment) -> None:
    predictor["name"] = slot
    predictor["minReplicas"] = pool.replicas
    predictor.setdefault("labels", {})[VERSION] = model.version
    annotations = predictor.setdefault("annotations", {})
    annotations[MODEL_URI] = model.model_uri
    annotations.setdefault(RESTART, "none")  # said, or a canary would inherit the main one's
    container = predictor.setdefault("model", {})
    container.setdefault("name", CONTAINER)
    container.setdefault("modelFormat", {})["name"] = pool.model_format
    container["runtime"] = pool.runtime
    container["storageUri"] = model.model_uri


def _heir(others: Sequence[Object], heirs: Sequence[str]) -> Object | None:
    """Who follows: by `heirs`, else whichever slot is left."""
    left = {one["name"]: one for one in others if _is_slot(one)}
    for name in (*heirs, *left):
        if name in left:
            return left[name]
    return None


def _promoted(
    main: Object, others: Sequence[Object], following: Object
) -> tuple[Object, list[Object]]:
    """The follower first, with the former main predictor's way of scaling; that one is gone."""
    scaling = {key: main[key] for key in SCALING if key in main}
    return {**following, **scaling}, [one for one in others if one is not following]


def _assembled(service: Object, pool: KServePool, main: Object, others: Sequence[Object]) -> Object:
    """KServe takes the canaries' replicas off the main predictor's: they are asked for on top."""
    for one in others:
        if _is_slot(one):
            for key in SCALING:
                one.pop(key, None)
    if _is_slot(main) or (others and not _is_vacant(main)):
        main["minReplicas"] = pool.replicas + sum(one.get("minReplicas", 0) for one in others)
    if "maxReplicas" in main:
        main["maxReplicas"] = max(main["maxReplicas"], main["minReplicas"])
    spec = {**service["spec"], "predictor": main}
    canaries = spec.pop("canary", None) or []
    shares = {one["predictor"].get("name"): one["trafficPercent"] for one in canaries}
    if others:
        spec["canary"] = [
            {
                "trafficPercent": 0 if _is_slot(one) else shares.get(one.get("name"), 0),
                "predictor": one,
            }
            for one in others
        ]
    return {**service, "spec": spec}
