"""Every kustomization renders without a warning, and built-in kinds keep to Kubernetes' schema."""

from __future__ import annotations

import copy
import json
import re
from functools import cache

import kubernetes_validate
import pytest

from tests.kustomized import KUBERNETES, is_built_in, kustomizations, of_kind, rendered

VERSION = "1.36"


@pytest.mark.parametrize("folder", kustomizations())
def test_it_renders_and_built_in_kinds_are_valid(folder: str) -> None:
    objects = rendered(folder)
    assert objects
    for one in objects:
        if is_built_in(one):
            check(json.dumps(one))


@cache
def check(written: str) -> None:
    """Once an object: most stand in several overlays."""
    kubernetes_validate.validate(json.loads(written), VERSION, strict=True)


def test_the_schema_would_have_found_a_mistake() -> None:
    (deployment, *_) = of_kind(rendered("base"), "Deployment")
    wrong = copy.deepcopy(deployment)
    wrong["spec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError, match="imag"):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_nothing_stands_beside_what_is_rendered() -> None:
    """A file that no kustomization names would look as if it did something."""
    named = {
        (KUBERNETES / folder / entry).resolve()
        for folder in kustomizations()
        for entry in re.findall(
            r"[\w./-]+\.yaml", (KUBERNETES / folder / "kustomization.yaml").read_text()
        )
    }
    helm = KUBERNETES / "airflow"
    files = {
        file.resolve()
        for file in KUBERNETES.rglob("*.yaml")
        if file.name != "kustomization.yaml" and helm not in file.parents
    }
    assert files - named == set()


def test_no_two_objects_of_an_overlay_are_the_same() -> None:
    for folder in (one for one in kustomizations() if one.startswith("overlays/")):
        names = [
            (one["apiVersion"], one["kind"], one["metadata"].get("namespace"),
             one["metadata"]["name"])
            for one in rendered(folder)
        ]  # fmt: skip
        assert len(names) == len(set(names))


def test_only_what_has_a_namespace_is_given_one() -> None:
    cluster_scoped = {
        "Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding",
        "ClusterStorageContainer", "LocalModelCache", "LocalModelNodeGroup",
    }  # fmt: skip
    monitoring = {"weir-alertmanager", "weir-alerts", "weir-dashboards", "weir-scrape"}
    for folder in kustomizations():
        if folder.startswith(("overlays/", "components/")):
            for one in rendered(folder):
                expected = None if one["kind"] in cluster_scoped else "weir"
                if one["kind"] == "ConfigMap" and one["metadata"]["name"] in monitoring:
                    expected = "monitoring"  # its pods mount ConfigMaps of their own namespace only
                assert one["metadata"].get("namespace") == expected, one["metadata"]["name"]
