"""What a cluster says of a slot: whether its pods answer, whether they fail, and their last words.

KServe calls a canary ready as soon as one pod is, of whatever revision; a model that takes the
place of another is ready when its Deployment has nothing else left. Nothing here talks to a
cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from serving.rollout.targets.kserve_cluster import Object
from serving.rollout.targets.kserve_services import MODEL_URI, RESTART, VERSION, is_main

_DEAD_TRANSITIONS = ("BlockedByFailedLoad", "InvalidSpec")
# of a container that will not start however long one waits
_DEAD_WAITS = (
    "CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "ErrImageNeverPull",
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "RunContainerError",
)  # fmt: skip


def is_ready(service: Object, slot: str) -> bool:
    """Whether KServe says so, of the object as it is now."""
    status = service.get("status", {})
    if status.get("observedGeneration", service["metadata"].get("generation")) != service[
        "metadata"
    ].get("generation"):
        return False
    if is_main(service, slot):
        conditions = status.get("conditions", [])
        return any(
            one["type"] == "PredictorReady" and one["status"] == "True" for one in conditions
        )
    return any(one["name"] == slot and one["ready"] for one in status.get("canaryStatuses", []))


def is_rolled_out(deployment: Object, predictor: Object, replicas: int) -> bool:
    """Whether the Deployment runs this very predictor, `replicas` pods of it and no others."""
    template = deployment["spec"]["template"]["metadata"]
    labels, annotations = template.get("labels", {}), template.get("annotations", {})
    wanted = predictor["annotations"]
    if labels.get(VERSION) != predictor["labels"][VERSION] or any(
        annotations.get(key) != wanted[key] for key in (MODEL_URI, RESTART)
    ):
        return False
    status = deployment.get("status", {})
    updated = status.get("updatedReplicas", 0)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        and status.get("replicas", 0) == updated
        and status.get("availableReplicas", 0) >= replicas
    )


def failure(service: Object, slot: str) -> str:
    """Why the slot's model will never load, as KServe has it; empty where it may."""
    status = service.get("status", {})
    of_slot = status.get("modelStatus", {})
    if not is_main(service, slot):
        states = [one for one in status.get("canaryStatuses", []) if one["name"] == slot]
        of_slot = states[0].get("modelStatus", {}) if states else {}
    if of_slot.get("transitionStatus") not in _DEAD_TRANSITIONS:
        return ""
    info = of_slot.get("lastFailureInfo", {})
    return f"{of_slot['transitionStatus']}: {info.get('message') or info.get('reason') or ''}"


def are_all_dead(pods: Sequence[Object]) -> bool:
    """Whether there are pods, and none that could still come to answer."""
    living = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return bool(living) and all(map(_is_dead, living))


def words(pods: Sequence[Object]) -> Iterator[str]:
    """What the containers of these pods wait for or ended with, and why a pod has no node."""
    for pod in pods:
        name, status = pod["metadata"]["name"], pod.get("status", {})
        for condition in status.get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                yield f"pod {name} has no node: {condition.get('message', '')}"
        for container in _containers(pod):
            for state in (container.get("state", {}), container.get("lastState", {})):
                for kind in ("waiting", "terminated"):
                    if found := state.get(kind):
                        yield f"pod {name} {kind}: {_told(found)}"


def _told(state: Object) -> str:
    code = f", exit code {state['exitCode']}" if "exitCode" in state else ""
    message = f": {state['message']}" if state.get("message") else ""
    return f"{state.get('reason', 'no reason given')}{code}{message}"


def _is_dead(pod: Object) -> bool:
    if pod.get("status", {}).get("phase") == "Failed":
        return True
    return any(
        one.get("state", {}).get("waiting", {}).get("reason") in _DEAD_WAITS
        for one in _containers(pod)
    )


def _containers(pod: Object) -> list[Object]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
