"""The InferenceService of the cluster target: slots in it, and what its webhook would say."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from data_contracts.errors import ContractViolation
from serving.rollout.targets.base import Deployment
from serving.rollout.targets.kserve_rules import check_accelerators, check_names, check_service
from serving.rollout.targets.kserve_services import (
    AUTOSCALER,
    MODE,
    deployment_of,
    is_main,
    settled,
    slots_in,
    with_restart,
    with_slot,
    without_slot,
)
from serving.rollout.targets.kserve_status import are_all_dead, is_ready, is_rolled_out, words
from tests.stand_ins.kserve_memory import kserve_settings

POOL = kserve_settings().pools["media"]
OLD, NEW = Deployment("models:/spam/1", "1"), Deployment("models:/spam/2", "2")


def service_with(**slots: Deployment) -> dict[str, Any]:
    made: dict[str, Any] | None = None
    for slot, model in slots.items():
        made = with_slot(made, POOL, "weir", slot, model)
    assert made is not None
    return made


def handed_over() -> dict[str, Any]:
    """As a manifest starts it: a predictor without a name that answers already."""
    made = service_with(a=OLD)
    predictor = made["spec"]["predictor"]
    del predictor["name"], predictor["annotations"]
    predictor["maxReplicas"] = 3
    return made


def test_mode_and_autoscaler_are_said() -> None:
    annotations = service_with(a=OLD)["metadata"]["annotations"]
    assert annotations == {MODE: "Standard", AUTOSCALER: "none"}


def test_the_first_slot_is_the_main_predictor_and_the_next_are_canaries_without_weight() -> None:
    made = service_with(a=OLD, b=NEW)
    assert is_main(made, "a")
    (canary,) = made["spec"]["canary"]
    assert (canary["predictor"]["name"], canary["trafficPercent"]) == ("b", 0)
    assert {slot: deployment_of(one) for slot, one in slots_in(made).items()} == {
        "a": OLD, "b": NEW,
    }  # fmt: skip


def test_the_main_predictor_asks_for_the_canaries_pods_that_kserve_takes_off_it() -> None:
    made = service_with(a=OLD, b=NEW, c=OLD)
    assert made["spec"]["predictor"]["minReplicas"] == 3 * POOL.replicas
    assert without_slot(made, POOL, "c", ("a",))["spec"]["predictor"]["minReplicas"] == 4


def test_promotion_moves_the_canarys_predictor_unchanged_but_for_scaling() -> None:
    made = service_with(a=OLD, b=NEW)
    made["spec"]["predictor"]["maxReplicas"] = 9
    before = copy.deepcopy(slots_in(made)["b"])
    promoted = without_slot(made, POOL, "a", ("b",))
    assert "canary" not in promoted["spec"]
    assert promoted["spec"]["predictor"] == {**before, "maxReplicas": 9}


def test_of_two_canaries_the_one_that_answers_follows() -> None:
    made = service_with(a=OLD, b=NEW, c=OLD)
    assert is_main(without_slot(made, POOL, "a", ("c", "b")), "c")


def test_the_last_slot_leaves_a_predictor_without_pods_that_the_next_is_made_like() -> None:
    made = service_with(a=OLD)
    made["spec"]["predictor"]["serviceAccountName"] = "weir-predictor"
    empty = without_slot(made, POOL, "a", ())
    assert not slots_in(empty)
    assert empty["spec"]["predictor"]["minReplicas"] == 0
    again = with_slot(empty, POOL, "weir", "b", NEW)
    assert slots_in(again)["b"]["serviceAccountName"] == "weir-predictor"
    assert "canary" not in again["spec"]


def test_a_predictor_that_is_not_ours_answers_until_a_slot_carries_traffic() -> None:
    beside = with_slot(handed_over(), POOL, "weir", "a", OLD)
    assert list(slots_in(beside)) == ["a"]
    assert not is_main(beside, "a")
    taken = settled(beside, POOL, ("a",))
    assert is_main(taken, "a")
    assert "canary" not in taken["spec"]


def test_a_slot_is_like_the_main_predictor_but_not_scaled_like_it() -> None:
    theirs = handed_over()
    theirs["spec"]["predictor"]["priorityClassName"] = "weir-serving"
    slot = slots_in(with_slot(theirs, POOL, "weir", "a", OLD))["a"]
    assert slot["priorityClassName"] == "weir-serving"
    assert "maxReplicas" not in slot


def test_a_predictor_without_a_model_answers_nobody_and_is_taken_at_once() -> None:
    theirs = handed_over()
    del theirs["spec"]["predictor"]["model"]["storageUri"]
    taken = with_slot(theirs, POOL, "weir", "a", OLD)
    assert is_main(taken, "a")
    assert "canary" not in taken["spec"]


def test_what_was_changed_by_hand_is_put_back_and_nothing_else() -> None:
    made = service_with(a=OLD, b=NEW)
    assert settled(made, POOL, ("a",)) == made
    edited = copy.deepcopy(made)
    canary = edited["spec"]["canary"][0]
    canary["trafficPercent"] = 40
    canary["predictor"] |= {"minReplicas": 0, "maxReplicas": 5}
    assert settled(edited, POOL, ("a",)) == made


def test_a_restart_changes_one_slots_pods_alone() -> None:
    made = service_with(a=OLD, b=NEW)
    again = with_restart(made, POOL, "a", "t1")
    assert slots_in(again)["b"] == slots_in(made)["b"]
    assert slots_in(again)["a"] != slots_in(made)["a"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trafficPercent": 130}, r"canary\[b\].trafficPercent = 130: no percentage"),
        ({"maxReplicas": 3}, r"predictor.maxReplicas = 3: KServe refuses it on a canary"),
        ({"scaleTarget": 1}, r"predictor.scaleTarget"),
        ({"scaleMetric": "cpu"}, r"predictor.scaleMetric"),
        ({"autoScaling": {}}, r"predictor.autoScaling"),
        ({"minReplicas": 0}, r"minReplicas = 0: a canary at 0 % without it has no pods"),
        ({"minReplicas": 9}, r"minReplicas = 9: more than the main predictor's 4"),
        ({"name": "a"}, r"canary.predictor.name = 'a': is there twice"),
    ],
)
def test_what_the_webhook_refuses_or_silently_ignores_is_refused_before(
    change: dict[str, Any], said: str
) -> None:
    made = service_with(a=OLD, b=NEW)
    check_service(made)
    canary = made["spec"]["canary"][0]
    (canary if "trafficPercent" in change else canary["predictor"]).update(change)
    with pytest.raises(ContractViolation, match=said):
        check_service(made)


def test_canaries_that_sum_to_more_than_100_and_other_modes_are_refused() -> None:
    made = service_with(a=OLD, b=NEW, c=OLD)
    for canary in made["spec"]["canary"]:
        canary["trafficPercent"] = 60
    with pytest.raises(ContractViolation, match="trafficPercent = 120: more than 100"):
        check_service(made)
    made["metadata"]["annotations"][MODE] = "Knative"
    with pytest.raises(ContractViolation, match="canaries need Standard mode"):
        check_service(made)


@pytest.mark.parametrize(
    ("slot", "model", "said"),
    [
        ("B", OLD, "slot = 'B': no name of a predictor"),
        ("a" * 60, OLD, "would have 81 characters"),
        ("a", Deployment("models:/spam/1", "v 1"), "version = 'v 1': no value of a label"),
        ("a", Deployment("", "1"), "model_uri = '': nothing to load"),
    ],
)
def test_names_that_kubernetes_would_not_take_are_refused(
    slot: str, model: Deployment, said: str
) -> None:
    with pytest.raises(ContractViolation, match=said):
        check_names("weir-media", slot, model)


def pod(**status: Any) -> dict[str, Any]:
    asked = {"limits": {"nvidia.com/gpu": "1", "cpu": "4"}}
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"resources": asked}]},
            "status": status}  # fmt: skip


def test_accelerators_that_pods_hold_are_not_free() -> None:
    nodes = [{"status": {"allocatable": {"nvidia.com/gpu": "4"}}}]
    check_accelerators("b", {"nvidia.com/gpu": 2}, nodes, [pod(), pod(), pod(phase="Succeeded")])
    with pytest.raises(ContractViolation, match="gpu of slot b = 3: only 2 are free"):
        check_accelerators("b", {"nvidia.com/gpu": 3}, nodes, [pod(), pod()])


def test_a_slot_is_ready_by_the_status_of_this_generation_alone() -> None:
    made = service_with(a=OLD, b=NEW)
    made["metadata"]["generation"] = 2
    canaries = [{"name": "b", "ready": True, "trafficPercent": 0}]
    made["status"] = {"observedGeneration": 2, "canaryStatuses": canaries}
    assert is_ready(made, "b")
    assert not is_ready(made, "a")
    made["status"]["conditions"] = [{"type": "PredictorReady", "status": "True"}]
    assert is_ready(made, "a")
    made["metadata"]["generation"] = 3
    assert not is_ready(made, "a")


def test_a_deployment_is_rolled_out_when_nothing_of_another_model_is_left() -> None:
    slot = slots_in(service_with(a=NEW))["a"]
    meta = {"labels": slot["labels"], "annotations": slot["annotations"]}
    status = {"replicas": 3, "updatedReplicas": 2, "availableReplicas": 3, "observedGeneration": 1}
    found = {
        "metadata": {"generation": 1},
        "spec": {"template": {"metadata": meta}},
        "status": status,
    }
    assert not is_rolled_out(found, slot, 2)  # one pod of the former model still answers
    status["replicas"] = 2
    assert is_rolled_out(found, slot, 2)
    assert not is_rolled_out(found, slots_in(service_with(a=OLD))["a"], 2)


def test_pods_are_dead_when_all_of_them_fail_for_good_and_say_why() -> None:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m"}}
    killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    dead = pod(containerStatuses=[{"state": waiting, "lastState": killed}])
    starting = pod(containerStatuses=[{"state": {"waiting": {"reason": "ContainerCreating"}}}])
    assert are_all_dead([dead])
    assert not are_all_dead([dead, starting])
    assert not are_all_dead([])
    assert list(words([dead])) == [
        "pod p waiting: CrashLoopBackOff: back-off 5m",
        "pod p terminated: OOMKilled, exit code 137",
    ]
