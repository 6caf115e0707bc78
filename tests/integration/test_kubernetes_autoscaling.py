"""The autoscaling policy, applied to a real API server with the CRDs that it has.

KEDA's CRD is not among the assets' own: where WEIR_KEDA_CRD names its file, it is installed first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.integration.test_kubernetes_traffic import apply, cluster, kubectl
from tests.stand_ins.inference_services import scaled_services

pytestmark = pytest.mark.services

__all__ = ["cluster"]


def test_services_with_the_policy_are_accepted_and_applying_them_twice_changes_nothing(
    cluster: Mapping[str, str], tmp_path: Path
) -> None:
    objects = scaled_services("hpa", tmp_path)
    services = [one for one in objects if one["kind"] == "InferenceService"]
    assert len(services) == 2
    for _ in range(2):
        applied = apply(cluster, *services)
        assert applied.returncode == 0, applied.stderr
    generation = "jsonpath={.metadata.generation}"
    kept = kubectl(cluster, "-n", "weir", "get", "inferenceservice", "weir-text", "-o", generation)
    assert kept.stdout == "1"


def test_scaled_objects_are_accepted(cluster: Mapping[str, str], tmp_path: Path) -> None:
    crd = os.environ.get("WEIR_KEDA_CRD")
    if not crd or not Path(crd).is_file():
        pytest.skip("set WEIR_KEDA_CRD to KEDA's keda.sh_scaledobjects.yaml")
    installed = apply(cluster, yaml.safe_load(Path(crd).read_text()))
    assert installed.returncode == 0, installed.stderr
    ready = ("wait", "--for=condition=Established", "--timeout=30s")
    assert kubectl(cluster, *ready, "crd", "scaledobjects.keda.sh").returncode == 0
    objects = scaled_services("keda", tmp_path)
    scaled = [one for one in objects if one["kind"] == "ScaledObject"]
    applied = apply(cluster, *scaled)
    assert applied.returncode == 0, applied.stderr
    scaled[0]["spec"]["fallback"]["behavior"] = "guess"
    assert "guess" in apply(cluster, *scaled).stderr
