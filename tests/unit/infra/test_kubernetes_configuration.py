"""What the rendered pods are told: configuration that loads, probes that are open, one source."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import make_url, text
from sqlalchemy.exc import ProgrammingError

from data_contracts.config import PROJECT, Settings, load_settings
from data_contracts.errors import ConfigurationError
from pipelines import switches
from pipelines.state import open_state
from pipelines.switch_reader import SwitchReader
from pipelines.switches import Hold
from tests.kustomized import (
    KUBERNETES,
    Object,
    containers,
    kustomizations,
    of_kind,
    pods,
    rendered,
)
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
        for name in ("base.yaml", "production.yaml", "gates.yaml", "on_call.yaml", "playbooks.yaml")
    }
    for name, files in (
        ("alerts", (PROJECT / "infra" / "alerts").glob("*.yaml")),
        ("alertmanager", (PROJECT / "infra" / "alerts" / "alertmanager").glob("*.yaml")),
        ("dashboards", (PROJECT / "infra" / "dashboards").glob("*.json")),
    ):
        assert maps[name] == {file.name: file.read_text() for file in files}


def test_grafanas_sidecar_finds_the_dashboards_and_a_configmap_can_hold_them() -> None:
    (one,) = (one for one in of_kind(rendered("base"), "ConfigMap")
              if one["metadata"]["name"] == "weir-dashboards")  # fmt: skip
    assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
    # kubectl apply, client-side, keeps the whole object in an annotation of 256 KiB at most
    assert len(json.dumps(one)) < 262_144


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_watches_listens_where_the_configuration_says(folder: str, tmp_path: Path) -> None:
    ports = {
        "weir-approval": "approval", "weir-metrics": "platform_metrics",
        "weir-alert-receiver": "alert_receiver", "weir-appeals": "appeals",
        "weir-status-page": "status_page",
    }  # fmt: skip
    objects = rendered(folder)
    found = {}
    for name, container, _ in containers(objects):
        if name in ports:
            settings = settings_of(objects, container["env"], tmp_path)
            (port,) = container["ports"]
            found[name] = getattr(settings, ports[name]).port == port["containerPort"]
            assert settings.serving.host == "0.0.0.0", name  # noqa: S104
    assert found == dict.fromkeys(ports, True)


@pytest.mark.parametrize("folder", FOLDERS)
def test_incident_response_reads_its_tables_and_the_status_page_asks_for_a_token(
    folder: str, tmp_path: Path
) -> None:
    from serving.exposure import open_protection
    from serving.incidents.escalation import load_on_call
    from serving.incidents.playbooks import load_playbooks

    objects = rendered(folder)
    given = {name: container for name, container, _ in containers(objects)}
    incidents = settings_of(objects, given["weir-incidents"]["env"], tmp_path).incidents
    mounted = "/opt/weir/infra/config"
    mounts = {one["mountPath"] for one in given["weir-incidents"]["volumeMounts"]}
    assert mounted in mounts  # and /opt/weir is where the project lies in the image
    for table, load in (
        (incidents.playbooks, load_playbooks), (incidents.on_call, load_on_call),
    ):  # fmt: skip
        assert str(table.relative_to(PROJECT)) == f"infra/config/{table.name}"
        assert load(tmp_path / table.name)
    serving = settings_of(objects, given["weir-status-page"]["env"], tmp_path).serving
    with pytest.raises(ConfigurationError, match="set WEIR_SERVING_TOKENS"):
        open_protection(serving.host, serving)


def test_a_model_server_may_read_its_switches_and_nothing_else_of_the_database(
    postgres_url: str, tmp_path: Path
) -> None:
    """As the user that predictor_role.sql makes, on a real PostgreSQL."""
    from serving.restraints import HEEDED

    owner = open_state(postgres_url)
    switches.prepare(owner)
    objects = rendered("base")
    env = of_kind(objects, "ServingRuntime")[0]["spec"]["containers"][0]["env"]
    user = make_url(settings_of(objects, env, tmp_path).state_url).username
    script = (KUBERNETES / "base" / "platform" / "predictor_role.sql").read_text()
    with owner.begin() as connection:
        for statement in re.sub(r"--.*", "", script).split(";"):
            if statement.strip():
                connection.execute(text(statement))
        connection.execute(text(f"ALTER ROLE {user} PASSWORD 'not-a-secret'"))
        held = Hold(switches.PREFILTER_ONLY, "k", {}, "a test", "to be read", datetime.now(UTC))
        switches.hold(connection, held)
    url = make_url(postgres_url).set(username=user, password="not-a-secret")
    as_server = open_state(url.render_as_string(hide_password=False))
    try:
        reader = SwitchReader(lambda: as_server, HEEDED, "a pod", lambda: datetime.now(UTC))
        reader.ask()
        assert reader.problem == ""
        assert [one.key for one in reader.holds(switches.PREFILTER_ONLY)] == ["k"]
        assert switches.readers(owner, switches.PREFILTER_ONLY, held.since) == ["a pod"]
        for forbidden in ("SELECT * FROM audit_trail", "DELETE FROM switch_readers",
                          "UPDATE switch_holds SET released_at = now()"):  # fmt: skip
            with (
                pytest.raises(ProgrammingError, match="permission denied"),
                as_server.begin() as one,
            ):
                one.execute(text(forbidden))
    finally:
        as_server.dispose()
        with owner.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {user}"))
            connection.execute(text(f"DROP ROLE {user}"))
        owner.dispose()


@NEEDED
def test_prometheus_can_read_the_scrape_jobs(tmp_path: Path) -> None:
    (scrape,) = (one["data"]["scrape.yaml"] for one in of_kind(rendered("base"), "ConfigMap")
                 if "scrape.yaml" in one["data"])  # fmt: skip
    jobs = {one["job_name"]: one for one in yaml.safe_load(scrape)["scrape_configs"]}
    assert set(jobs) == {"weir", "weir-platform"}  # as infra/alerts and the autoscalers have it
    # Debian's Prometheus is built without Kubernetes' discovery: the rest of each job is read
    found = {name: job.pop("kubernetes_sd_configs") for name, job in jobs.items()}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [*jobs.values()]}))
    assert "SUCCESS" in promtool(
        "check", "config", "--syntax-only", str(tmp_path / "prometheus.yml")
    )
    for name, (discovery,) in found.items():
        key, _, value = discovery["selectors"][0]["label"].partition("=")
        chosen = [pod for _, labels, pod in pods(rendered("base")) if labels.get(key) == value]
        ports = [port["name"] for pod in chosen for port in pod["containers"][0]["ports"]]
        relabelled = jobs[name]["relabel_configs"]
        kept = [one["regex"] for one in relabelled if one.get("action") == "keep"]
        assert kept * len(chosen) == ports != []


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
