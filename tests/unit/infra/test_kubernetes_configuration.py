"""What the rendered pods are told: configuration that loads, probes that are open, one source."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts.config import PROJECT, Settings, load_settings
from tests.kustomized import Object, containers, kustomizations, of_kind, rendered
from tests.promtool import NEEDED, promtool

FOLDERS = [one for one in kustomizations() if one.startswith("overlays/")]


def settings_of(objects: list[Object], env: list[Object], folder: Path) -> Settings:
    """As a pod loads them: the ConfigMap's files, then its environment."""
    (files,) = (one for one in of_kind(objects, "ConfigMap") if "base.yaml" in one["data"])
    for name, content in files["data"].items():
        (folder / name).write_text(content)
    (shared,) = (one for one in of_kind(objects, "ConfigMap") if "WEIR_ENV" in one["data"])
    own = {one["name"]: one["value"] for one in env if "value" in one}
    return load_settings({**shared["data"], **own}, folder)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_pod_finds_a_configuration_that_loads(folder: str, tmp_path: Path) -> None:
    objects = rendered(folder)
    for name, container, pod in containers(objects):
        if pod:
            settings = settings_of(objects, container.get("env", []), tmp_path)
            assert settings.environment == "production"
            mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
            assert {"/tmp", str(settings.home)} <= mounts, name
    for one in of_kind(objects, "ServingRuntime"):
        serving = settings_of(objects, one["spec"]["containers"][0]["env"], tmp_path).serving
        assert (serving.host, serving.authentication) == ("0.0.0.0", "tokens")  # noqa: S104


def test_the_configuration_and_the_alerts_are_the_very_files() -> None:
    maps = {one["metadata"]["name"].partition("-")[2]: one["data"]
            for one in of_kind(rendered("base"), "ConfigMap")}  # fmt: skip
    (config,) = (data for name, data in maps.items() if name.startswith("config-"))
    assert config == {
        name: (PROJECT / "infra" / "config" / name).read_text()
        for name in ("base.yaml", "production.yaml", "gates.yaml")
    }
    alerts = (PROJECT / "infra" / "alerts").glob("*.yaml")
    assert maps["alerts"] == {file.name: file.read_text() for file in alerts}


@NEEDED
def test_prometheus_can_read_the_scrape_job(tmp_path: Path) -> None:
    (scrape,) = (one["data"]["scrape.yaml"] for one in of_kind(rendered("base"), "ConfigMap")
                 if "scrape.yaml" in one["data"])  # fmt: skip
    (job,) = yaml.safe_load(scrape)["scrape_configs"]
    assert job["job_name"] == "weir"  # as infra/alerts and the autoscalers have it
    # Debian's Prometheus is built without Kubernetes' discovery: the rest of the job is read
    del job["kubernetes_sd_configs"]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    assert "SUCCESS" in promtool(
        "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")
    )
    ports = [port["name"] for one in of_kind(rendered("base"), "ServingRuntime")
             for port in one["spec"]["containers"][0]["ports"]]  # fmt: skip
    kept = [one["regex"] for one in job["relabel_configs"] if one.get("action") == "keep"]
    assert kept * 2 == ports


def test_kubelet_may_ask_what_the_probes_ask_without_a_token() -> None:
    from serving.authentication import Authenticated, Tokens
    from serving.meter import Meter

    reached: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope["path"])

    async def nothing(*_: Any) -> Any:
        return None

    guarded = Authenticated(application, Tokens(["0123456789abcdef"]), Meter())
    asked = {
        container[kind]["httpGet"]["path"]
        for one in of_kind(rendered("base"), "ServingRuntime")
        for container in one["spec"]["containers"]
        for kind in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    for path in sorted(asked):
        scope: Any = {"type": "http", "method": "GET", "path": path, "headers": []}
        asyncio.run(guarded(scope, nothing, nothing))
    assert reached == sorted(asked) == ["/v2/health/live", "/v2/health/ready"]
