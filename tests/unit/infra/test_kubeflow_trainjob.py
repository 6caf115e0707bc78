"""The TrainJob of the fusion: as kustomize renders it, and as Trainer's schema has it.

`WEIR_TRAINER_CRD` names Trainer's `trainer.kubeflow.org_trainjobs.yaml`; without it the schema is
not asked, and the test says so.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from data_contracts.command_line import _parser
from tests.kustomized import Object, of_kind, rendered
from training.__main__ import VERBS

CRD = os.environ.get("WEIR_TRAINER_CRD", "")


@pytest.fixture
def job() -> Object:
    (found,) = of_kind(rendered("training"), "TrainJob")
    return found


@pytest.fixture
def pod(job: Object) -> Object:
    (patch,) = job["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    assert node["name"] == "node"  # as the runtime torch-distributed calls it
    template: Object = node["template"]["spec"]["template"]
    return template


def schema() -> Object:
    """The structural schema of v1alpha1."""
    if not Path(CRD).is_file():
        pytest.skip("WEIR_TRAINER_CRD names no file: TrainJob is not checked by its schema")
    (version,) = yaml.safe_load(Path(CRD).read_text())["spec"]["versions"]
    assert version["name"] == "v1alpha1"
    found: Object = version["schema"]["openAPIV3Schema"]
    return found


def mistakes(given: Any, described: Object, place: str = "") -> Iterator[str]:
    """What the API server refuses: wrong types, and (strict) fields that the schema lacks."""
    yield from (one.message for one in Draft202012Validator(described).iter_errors(given))
    yield from unknown(given, described, place)


def unknown(given: Any, described: Object, place: str) -> Iterator[str]:
    if isinstance(given, list):
        for one in given:
            yield from unknown(one, described.get("items", {}), place)
    if isinstance(given, dict) and "properties" in described:
        for name, value in given.items():
            known = described["properties"].get(name)
            if known is None and place:  # apiVersion, kind and metadata are Kubernetes' own
                yield f"{place}.{name} is unknown"
            yield from unknown(value, known or {}, f"{place}.{name}")


def test_the_command_is_one_that_the_platform_takes(job: Object) -> None:
    trainer = job["spec"]["trainer"]
    python, *module, inner, folder, verb = trainer["command"]
    assert [python, *module, inner] == ["python", "-m", "torch.distributed.run", "-m"]
    assert trainer["image"] == "weir/predictor-gpu:0.1.0"
    parsed = _parser(folder, "", VERBS).parse_args([verb, *trainer["args"]])
    assert parsed.verb.target == "training.fusion_command:run"


def test_its_state_outlives_its_pods_and_names_are_those_of_its_variables(
    job: Object, pod: Object
) -> None:
    trainer = job["spec"]["trainer"]
    (container,) = pod["spec"]["containers"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == {"home": "weir-home"}
    home = next(one["mountPath"] for one in container["volumeMounts"] if one["name"] == "home")
    paths = [one.partition("=")[2] for one in trainer["args"] if "/" in one]
    assert len(paths) == 5
    assert all(path.startswith(f"{home}/") and "$(FUSION_OF)" in path for path in paths)
    assert "FUSION_OF" in {one["name"] for one in trainer["env"]}


def test_its_pods_are_hardened_and_have_a_gpu_and_shared_memory(job: Object, pod: Object) -> None:
    (container,) = pod["spec"]["containers"]
    secured = {**pod["spec"]["securityContext"], **container["securityContext"]}
    assert secured["runAsNonRoot"]
    assert secured["readOnlyRootFilesystem"]
    assert secured["allowPrivilegeEscalation"] is False
    assert secured["capabilities"] == {"drop": ["ALL"]}
    assert secured["seccompProfile"] == {"type": "RuntimeDefault"}
    for bound in ("requests", "limits"):
        assert job["spec"]["trainer"]["resourcesPerNode"][bound]["nvidia.com/gpu"] == "1"
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounted["shared-memory"] == "/dev/shm"
    assert set(mounted) == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_only_processes_of_the_training_reach_each_other(pod: Object) -> None:
    (policy,) = of_kind(rendered("training"), "NetworkPolicy")
    wanted = policy["spec"]["podSelector"]["matchLabels"]
    assert wanted.items() <= pod["metadata"]["labels"].items()
    (ingress,) = policy["spec"]["ingress"]
    assert ingress == {"from": [{"podSelector": {"matchLabels": wanted}}]}


def test_trainers_schema_takes_it(job: Object) -> None:
    assert list(mistakes(job, schema())) == []


@pytest.mark.parametrize(
    "mistake",
    [
        lambda job: job["spec"].pop("runtimeRef"),
        lambda job: job["spec"]["trainer"].update(numNodes="two"),
        lambda job: job["spec"]["trainer"].update(replicas=2),
        lambda job: job["spec"]["runtimePatches"][0].pop("manager"),
    ],
)
def test_trainers_schema_finds_mistakes(mistake: Callable[[Object], Any], job: Object) -> None:
    wrong = copy.deepcopy(job)
    mistake(wrong)
    assert list(mistakes(wrong, schema()))
