"""The traffic policy, applied to a real API server with the CRDs that it has.

See `tests/stand_ins/kserve_api_server.py` for where it comes from. It has no controller: what is
checked is that the objects are valid.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import yaml

from data_contracts.config import PROJECT

pytestmark = pytest.mark.services

FOLDER = PROJECT / "infra" / "kubernetes" / "traffic"


@pytest.fixture(scope="module")
def cluster(empty_api_server: Mapping[str, str]) -> Mapping[str, str]:
    """The environment in which kubectl speaks to an empty API server."""
    return empty_api_server


def kubectl(
    cluster: Mapping[str, str], *arguments: str, objects: Sequence[Any] | None = None
) -> subprocess.CompletedProcess[str]:
    given = None if objects is None else yaml.safe_dump_all(objects)
    return subprocess.run(
        ["kubectl", *arguments], env=dict(cluster), input=given, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def apply(cluster: Mapping[str, str], *objects: Any) -> subprocess.CompletedProcess[str]:
    how = ("--server-side", "--field-manager=weir", "--validate=strict")
    return kubectl(cluster, "apply", *how, "-f", "-", objects=objects)


@pytest.fixture(scope="module")
def served(cluster: Mapping[str, str]) -> dict[str, list[Any]]:
    """The built objects whose kind the API server knows, by kind."""
    known = kubectl(cluster, "api-resources", "--no-headers").stdout
    kinds = {line.split()[-1] for line in known.splitlines()}
    built = kubectl(cluster, "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(FOLDER))
    assert built.returncode == 0, built.stderr
    found: dict[str, list[Any]] = {}
    for one in yaml.safe_load_all(built.stdout):
        if one["kind"] in kinds:
            found.setdefault(one["kind"], []).append(one)
    return found


def test_the_objects_are_valid_and_applying_them_twice_changes_nothing(
    cluster: Mapping[str, str], served: dict[str, list[Any]]
) -> None:
    assert {"Gateway", "HTTPRoute"} <= set(served)
    objects = [one for of_kind in served.values() for one in of_kind]
    for _ in range(2):
        applied = apply(cluster, *objects)
        assert applied.returncode == 0, applied.stderr
    generation = "jsonpath={.metadata.generation}"
    kept = kubectl(cluster, "-n", "weir", "get", "httproute", "weir-predictions", "-o", generation)
    assert kept.stdout == "1"


def test_this_api_server_would_have_found_a_mistake(
    cluster: Mapping[str, str], served: dict[str, list[Any]]
) -> None:
    route = yaml.safe_load(yaml.safe_dump(served["HTTPRoute"][0]))
    route["spec"]["rules"][1]["backendRefs"][0]["weight"] = -1
    refused = apply(cluster, route)
    assert refused.returncode != 0
    assert "weight" in refused.stderr
    route["spec"]["rules"][1]["backendRefs"][0] = {"name": "x", "port": 80, "wieght": 1}
    assert "wieght" in apply(cluster, route).stderr
