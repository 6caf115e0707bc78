"""Airflow's values fit the rest: the secrets that the README lists, the image, the volume, labels.

The chart's own schema is not here: what Helm itself would refuse, these tests do not see.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from data_contracts.config import PROJECT
from data_contracts.steps import load_steps
from tests.kustomized import KUBERNETES, of_kind, rendered
from tests.unit.infra.test_kubernetes_policies import documented_secrets

VALUES = yaml.safe_load((KUBERNETES / "airflow" / "values.yaml").read_text())
GIB = {"Gi": 1.0, "Mi": 1 / 1024}


def secrets_named() -> Iterator[tuple[str, str]]:
    """Secret and key; the keys of Airflow's own are its chart's."""
    for one in VALUES["secret"]:
        yield one["secretName"], one["secretKey"]
    yield from (
        (VALUES["data"]["metadataSecretName"], "connection"),
        (VALUES["fernetKeySecretName"], "fernet-key"),
        (VALUES["apiSecretKeySecretName"], "api-secret-key"),
        (VALUES["jwtSecretName"], "jwt-secret"),
    )


def test_every_secret_is_one_of_the_readme() -> None:
    documented = documented_secrets()
    named = list(secrets_named())
    assert len(named) == len(VALUES["secret"]) + 4
    assert [(name, key) for name, key in named if key not in documented.get(name, ())] == []


def test_no_value_holds_a_password() -> None:
    flat = yaml.safe_dump({key: VALUES[key] for key in VALUES if key != "secret"}).lower()
    assert "password" not in flat


def test_steps_find_volume_account_priority_and_their_way_through_the_network() -> None:
    objects = {(one["kind"], one["metadata"]["name"]): one for one in rendered("base")}
    (volume,) = VALUES["volumes"]
    assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in objects
    workers = VALUES["workers"]
    assert ("ServiceAccount", workers["serviceAccount"]["name"]) in objects
    assert ("PriorityClass", workers["priorityClassName"]) in objects
    labels = {**workers["labels"], "tier": "airflow"}
    chosen = [
        one["metadata"]["name"]
        for one in of_kind(list(objects.values()), "NetworkPolicy")
        if (selector := one["spec"]["podSelector"].get("matchLabels"))
        and selector.items() <= labels.items()
    ]
    assert {"weir-airflow", "weir-steps", "weir-asks-database"} <= set(chosen)


def test_a_worker_has_room_for_the_dearest_step() -> None:
    asked: Any = VALUES["workers"]["resources"]["requests"]
    steps = [step.resources for step in load_steps().steps.values()]
    memory = float(asked["memory"][:-2]) * GIB[asked["memory"][-2:]]
    assert float(asked["cpu"]) >= max(step.cpu for step in steps)
    assert memory >= max(step.memory_gib for step in steps)


def test_it_is_the_airflow_that_the_project_pins() -> None:
    pinned = (PROJECT / "dags" / "requirements.txt").read_text()
    assert f"apache-airflow=={VALUES['airflowVersion']}" in pinned
