"""What every rendered object must be, whatever overlay it stands in: hardened pods, least rights,
references that exist, commands and probes that are real. Each rule is shown to find a mistake.
"""

from __future__ import annotations

import ast
import copy
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_contracts import secrets
from data_contracts.command_line import _parser
from data_contracts.config import PROJECT
from serving.rollout.targets import kserve_cluster
from tests.kustomized import (
    KUBERNETES,
    Object,
    containers,
    kustomizations,
    of_kind,
    pods,
    rendered,
)

FOLDERS = [one for one in kustomizations() if one.startswith(("overlays/", "components/"))]
README = KUBERNETES / "README.md"
SECRET_WORDS = re.compile(r"PASSWORD|TOKEN|SECRET|_KEY|REDIS_URL|_PAGER_")
# why a long-running container may do without a liveness probe
NO_LIVENESS = {
    "weir-controller": "ends by itself, loses its lease when it hangs",
    "weir-incidents": "loses its lease when it hangs, and tries again whatever fails",
}
# where the code of a duty lies, below serving/; and what runs elsewhere, from the same folder
DUTIES = {
    "weir-metrics": "platform_metrics", "weir-incidents": "incidents", "weir-appeals": "appeals",
    "weir-alert-receiver": "incidents/alert_receiver.py", "weir-status-page": "status_page",
}  # fmt: skip
PASSWORDS = {
    "database": r"\bPGPASSWORD\b", "registry": r"\bWEIR_MLFLOW_\w+_PASSWORD\b",
    "airflow": r"\bWEIR_AIRFLOW_APPROVAL_PASSWORD\b",
}  # fmt: skip
ELSEWHERE = ("alert_receiver", "remedy", "remedy_command")
# Deployments of which never two pods may run, and what two would do
ALONE = {
    "weir-tracking": "its files lie on a volume that one node mounts",
    "weir-metrics": "rules add its gauges up",
    "weir-appeals": "it writes into the lake, whose lock is made for one writer",
}
Finder = Callable[[list[Object]], Iterator[str]]


def unhardened(objects: list[Object]) -> Iterator[str]:
    for name, container, pod in containers(objects):
        merged = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
        wanted = {
            "runAsNonRoot": True, "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        yield from (
            f"{name}: {key} is {merged.get(key)}"
            for key, value in wanted.items()
            if merged.get(key) != value
        )
        for key in ("hostNetwork", "hostPID", "hostIPC", "hostPath", "privileged"):
            if key in str(pod) + str(container):
                yield f"{name}: {key}"


def unbounded(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        for bound in ("requests", "limits"):
            missing = {"cpu", "memory"} - set(container.get("resources", {}).get(bound, {}))
            if missing:
                yield f"{name}: no {bound} of {', '.join(sorted(missing))}"


def unprobed(objects: list[Object]) -> Iterator[str]:
    for name, _, pod in pods(objects):
        for container in pod["containers"]:
            wanted = ["startupProbe", "readinessProbe"]
            if name not in NO_LIVENESS:
                wanted.append("livenessProbe")
            yield from (f"{name}: no {probe}" for probe in wanted if probe not in container)


def probing_nothing(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        named = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container.get(kind, {}).get("httpGet")
            if asked and asked["port"] not in named and asked["port"] not in named.values():
                yield f"{name}: {kind} asks port {asked['port']}"


def unpinned(objects: list[Object]) -> Iterator[str]:
    for name, container, _ in containers(objects):
        tag = container["image"].partition("@")[0].rpartition(":")[2]
        if not re.fullmatch(r"v?\d+(\.\d+)+\S*", tag):
            yield f"{name}: image {container['image']} has no version"


def secrets_in_clear(objects: list[Object]) -> Iterator[str]:
    yield from (f"a Secret, {one['metadata']['name']}" for one in of_kind(objects, "Secret"))
    for name, container, _ in containers(objects):
        for one in container.get("env", []):
            if SECRET_WORDS.search(one["name"]) and "secretKeyRef" not in one.get("valueFrom", {}):
                yield f"{name}: {one['name']} is no reference to a secret"


def documented_secrets() -> dict[str, set[str]]:
    """Name and keys of each, from the table of the README."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|", README.read_text(), re.M)
    return {name: set(re.findall(r"`([a-z-]+)`", keys)) for name, keys in rows}


def dangling(objects: list[Object]) -> Iterator[str]:
    known = {(one["kind"], one["metadata"]["name"]) for one in objects}
    documented = documented_secrets()
    for name, _, pod in pods(objects):
        wanted = [("ServiceAccount", pod["serviceAccountName"]),
                  ("PriorityClass", pod["priorityClassName"])]  # fmt: skip
        for volume in pod.get("volumes", []):
            if "configMap" in volume:
                wanted.append(("ConfigMap", volume["configMap"]["name"]))
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                wanted.append(("PersistentVolumeClaim", claim))
        mounted = {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod["containers"]:
            sources = (one["configMapRef"]["name"] for one in container.get("envFrom", []))
            wanted += [("ConfigMap", source) for source in sources]
            used = {mount["name"] for mount in container.get("volumeMounts", [])}
            yield from (f"{name}: volume {one} is missing" for one in used - mounted)
        yield from (f"{name}: {kind} {one} is missing" for kind, one in wanted
                    if (kind, one) not in known)  # fmt: skip
    for name, container, _ in containers(objects):
        for one in container.get("env", []):
            asked = one.get("valueFrom", {}).get("secretKeyRef")
            if asked and asked["key"] not in documented.get(asked["name"], ()):
                yield f"{name}: secret {asked['name']}/{asked['key']} is not in README.md"


def commands(objects: list[Object]) -> Iterator[tuple[str, list[str]]]:
    for name, container, _ in containers(objects):
        extra = (
            ["models:/spam/1", "/mnt/models"] if container["name"] == "storage-initializer" else []
        )
        yield name, [*container["command"], *container.get("args", []), *extra]
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "exec" in container.get(kind, {}):
                yield name, container[kind]["exec"]["command"]


def unreal_commands(objects: list[Object]) -> Iterator[str]:
    for name, command in commands(objects):
        python, flag, folder, *rest = command
        if (python, flag) != ("python", "-m"):
            yield f"{name}: {command} is no verb"
            continue
        parser = _parser(folder, "", importlib.import_module(f"{folder}.__main__").VERBS)
        try:
            parser.parse_args([re.sub(r"\$\(\w+\)", "1", one) for one in rest])
        except SystemExit:
            yield f"{name}: {' '.join(command)} is refused by the command line"


def without_secrets(objects: list[Object]) -> Iterator[str]:
    """Of what the code of a duty asks for by name, as `data_contracts.secrets` calls it."""
    for name, container, _ in containers(objects):
        if name in DUTIES:
            given = {one["name"] for one in container["env"]}
            wanted = named_secrets(PROJECT / "serving" / DUTIES[name])
            yield from (f"{name}: no {one}" for one in sorted(wanted - given))


def asking_without_a_password(objects: list[Object]) -> Iterator[str]:
    """Let through by the network, and turned away at the door; some code takes that for silence."""
    for name, labels, pod in pods(objects):
        given = " ".join(one["name"] for one in pod["containers"][0]["env"])
        for asked, password in PASSWORDS.items():
            if labels.get(f"weir.dev/asks-{asked}") and not re.search(password, given):
                yield f"{name}: asks {asked} without {password}"


def named_secrets(source: Path) -> set[str]:
    """Values of the constants that the modules of a folder, or one module, import."""
    found = set()
    for module in sorted(source.glob("*.py")) if source.is_dir() else [source]:
        if source.is_dir() and module.stem in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "data_contracts.secrets":
                found |= {one.name for one in node.names if one.name.isupper()}
    return {str(getattr(secrets, one)) for one in found}


def mute(objects: list[Object]) -> Iterator[str]:
    """People of on_call.yaml whose webhook's address incident response is not given."""
    (tables,) = (one["data"] for one in of_kind(objects, "ConfigMap") if "base.yaml" in one["data"])
    people = yaml.safe_load(tables["on_call.yaml"])["people"]
    for name, container, _ in containers(objects):
        if name == "weir-incidents":
            given = {one["name"] for one in container["env"]}
            for person, about in people.items():
                if about["webhook_variable"] not in given:
                    yield f"{name}: {person} cannot be called, {about['webhook_variable']}"


def doubled(objects: list[Object]) -> Iterator[str]:
    """Two pods at a time, even in an update, where there must be one."""
    for one in of_kind(objects, "Deployment"):
        name, spec = one["metadata"]["name"], one["spec"]
        if name in ALONE and (spec["replicas"], spec["strategy"]["type"]) != (1, "Recreate"):
            yield f"{name}: {ALONE[name]}"


def unprotected(objects: list[Object]) -> Iterator[str]:
    """Several pods that one drain may take together."""
    budgets = [one["spec"]["selector"]["matchLabels"]
               for one in of_kind(objects, "PodDisruptionBudget")]  # fmt: skip
    for one in of_kind(objects, "Deployment"):
        labels = one["spec"]["template"]["metadata"]["labels"]
        if one["spec"]["replicas"] > 1 and not any(
            wanted.items() <= labels.items() for wanted in budgets
        ):
            yield f"{one['metadata']['name']}: no disruption budget"


def budgets_of_nothing(objects: list[Object]) -> Iterator[str]:
    known = [labels for _, labels, _ in pods(objects)]
    for one in of_kind(objects, "PodDisruptionBudget"):
        wanted = one["spec"]["selector"]["matchLabels"].items()
        if not any(wanted <= labels.items() for labels in known):
            yield f"{one['metadata']['name']} selects no pod"


def unspread(objects: list[Object]) -> Iterator[str]:
    for name, labels, pod in pods(objects):
        constraints = pod.get("topologySpreadConstraints", [])
        if not constraints and name != "weir-tracking":  # one pod, on a volume of one node
            yield f"{name}: not spread"
        for one in constraints:
            if not one["labelSelector"]["matchLabels"].items() <= labels.items():
                yield f"{name}: spread by others' labels"


def excessive_rights(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Role", "ClusterRole"):
        name = one["metadata"]["name"]
        for rule in one["rules"]:
            words = [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            for word in ("*", "secrets", "delete", "deletecollection", "escalate", "bind",
                         "impersonate", "pods/exec", "roles", "serviceaccounts/token"):  # fmt: skip
                if word in words:
                    yield f"{name}: {word}"
            if one["kind"] == "ClusterRole" and not {"get", "list"} >= set(rule["verbs"]):
                yield f"{name}: writes in the whole cluster"
    for one in of_kind(objects, "RoleBinding", "ClusterRoleBinding"):
        for subject in one["subjects"]:
            if (subject["kind"], subject["name"]) != ("ServiceAccount", "weir-controller"):
                yield f"{one['metadata']['name']}: binds {subject['kind']} {subject['name']}"
        if (one["roleRef"]["kind"], one["roleRef"]["name"]) not in {
            (role["kind"], role["metadata"]["name"]) for role in objects
        }:
            yield f"{one['metadata']['name']}: binds a role of somebody else's"


def tokens_mounted(objects: list[Object]) -> Iterator[str]:
    bound = {subject["name"] for one in of_kind(objects, "RoleBinding")
             for subject in one["subjects"]}  # fmt: skip
    for name, _, pod in pods(objects):
        if pod.get("automountServiceAccountToken", True) != (pod["serviceAccountName"] in bound):
            yield f"{name}: automountServiceAccountToken"


def logging_messages(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "InferenceService"):
        logger = one["spec"]["predictor"].get("logger")
        if logger and (logger.get("mode") != "response" or logger.get("metadataHeaders")):
            yield f"{one['metadata']['name']}: logs more than verdicts"


def without_redis(objects: list[Object]) -> Iterator[str]:
    """Production keeps features in Redis: a predictor without its URL cannot start."""
    for name, _, pod in pods(objects):
        if name in ("weir-text", "weir-media"):
            given = {one["name"] for one in pod["containers"][0]["env"]}
            if "WEIR_REDIS_URL" not in given:
                yield f"{name}: no WEIR_REDIS_URL"


FINDERS: list[Finder] = [
    unhardened, unbounded, unprobed, probing_nothing, unpinned, secrets_in_clear, dangling,
    unreal_commands, budgets_of_nothing, unspread, excessive_rights, tokens_mounted,
    logging_messages, without_redis, without_secrets, asking_without_a_password, mute, doubled,
    unprotected,
]  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_rule_is_broken(folder: str) -> None:
    objects = rendered(folder)
    assert [f"{finder.__name__}: {one}" for finder in FINDERS for one in finder(objects)] == []


def first(objects: list[Object], kind: str, name: str) -> Any:
    (found,) = (one for one in of_kind(objects, kind) if one["metadata"]["name"] == name)
    return found


def _container(objects: list[Object], name: str = "weir-approval") -> Any:
    return first(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"][0]


def _rule(objects: list[Object]) -> Any:
    return first(objects, "Role", "weir-controller")["rules"][0]


def _predictor(objects: list[Object]) -> Any:
    return first(objects, "InferenceService", "weir-text")["spec"]["predictor"]


def _runtime(objects: list[Object]) -> Any:
    return first(objects, "ServingRuntime", "weir-text")["spec"]["containers"][0]


MISTAKES: list[tuple[Finder, Callable[[list[Object]], Any]]] = [
    (unhardened, lambda o: _container(o)["securityContext"].pop("readOnlyRootFilesystem")),
    (unhardened, lambda o: _container(o)["securityContext"].update(privileged=True)),
    (unhardened, lambda o: _runtime(o)["securityContext"].update(allowPrivilegeEscalation=True)),
    (unbounded, lambda o: _container(o)["resources"]["limits"].pop("memory")),
    (unprobed, lambda o: _container(o).pop("livenessProbe")),
    (probing_nothing, lambda o: _runtime(o)["readinessProbe"]["httpGet"].update(port="metrics")),
    (unpinned, lambda o: _container(o).update(image="weir/platform:latest")),
    (unpinned, lambda o: _container(o).update(image="weir/platform")),
    (secrets_in_clear, lambda o: _container(o)["env"].append({"name": "PASSWORD", "value": "x"})),
    (dangling, lambda o: o.remove(first(o, "PriorityClass", "weir-control"))),
    (dangling, lambda o: _container(o)["env"].append(
        {"name": "X", "valueFrom": {"secretKeyRef": {"name": "weir-mlflow", "key": "root"}}})),
    (dangling, lambda o: o.remove(first(o, "ServiceAccount", "weir-predictor"))),
    (unreal_commands, lambda o: _container(o).update(
        command=["python", "-m", "serving", "aproval"])),
    (unreal_commands, lambda o: _runtime(o)["args"].append("--workers=4")),
    (budgets_of_nothing, lambda o: first(o, "PodDisruptionBudget", "weir-text")["spec"].update(
        selector={"matchLabels": {"app": "isvc.weir-text-predictor"}})),
    (unspread, lambda o: _predictor(o).pop("topologySpreadConstraints")),
    (excessive_rights, lambda o: _rule(o)["verbs"].append("*")),
    (excessive_rights, lambda o: _rule(o)["resources"].append("secrets")),
    (excessive_rights, lambda o: first(o, "ClusterRole", "weir-capacity")["rules"][0][
        "verbs"].append("patch")),
    (tokens_mounted, lambda o: _predictor(o).pop("automountServiceAccountToken")),
    (logging_messages, lambda o: _predictor(o).update(logger={"mode": "all"})),
    (without_redis, lambda o: _runtime(o).update(env=[
        one for one in _runtime(o)["env"] if one["name"] != "WEIR_REDIS_URL"])),
    (secrets_in_clear, lambda o: _container(o, "weir-incidents")["env"].append(
        {"name": "WEIR_PAGER_NIGHT_URL", "value": "https://pager.example/secret"})),
    (dangling, lambda o: o.remove(first(o, "ServiceAccount", "weir-appeals"))),
    (unreal_commands, lambda o: _container(o, "weir-incidents").update(
        command=["python", "-m", "serving", "incidents", "respnd"])),
    (tokens_mounted, lambda o: first(o, "Deployment", "weir-incidents")["spec"]["template"][
        "spec"].pop("automountServiceAccountToken")),
    (without_secrets, lambda o: _container(o, "weir-appeals").update(env=[
        one for one in _container(o, "weir-appeals")["env"] if "ACCOUNT" not in one["name"]])),
    (asking_without_a_password, lambda o: _container(o, "weir-incidents").update(env=[
        one for one in _container(o, "weir-incidents")["env"] if "MLFLOW" not in one["name"]])),
    (asking_without_a_password, lambda o: _runtime(o).update(env=[
        one for one in _runtime(o)["env"] if one["name"] != "PGPASSWORD"])),
    (mute, lambda o: _container(o, "weir-incidents").update(env=[
        one for one in _container(o, "weir-incidents")["env"] if "LEAD" not in one["name"]])),
    (doubled, lambda o: first(o, "Deployment", "weir-metrics")["spec"].update(replicas=2)),
    (doubled, lambda o: first(o, "Deployment", "weir-appeals")["spec"]["strategy"].update(
        type="RollingUpdate")),
    (unprotected, lambda o: first(o, "Deployment", "weir-status-page")["spec"].update(
        replicas=2)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("finder", "mistake"), MISTAKES, ids=[finder.__name__ for finder, _ in MISTAKES]
)
def test_each_rule_finds_its_mistake(
    finder: Finder, mistake: Callable[[list[Object]], Any]
) -> None:
    objects = copy.deepcopy(rendered("overlays/dev"))
    assert not list(finder(objects))
    mistake(objects)
    assert list(finder(objects))


def test_the_controller_may_do_what_its_target_asks_and_no_more_than_that() -> None:
    """Of every kind that `kserve_cluster` names; deleting is nobody's."""
    objects = rendered("overlays/standard-gateway")
    rules = [rule for one in of_kind(objects, "Role", "ClusterRole") for rule in one["rules"]]
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    kinds = [one for one in vars(kserve_cluster).values() if isinstance(one, kserve_cluster.Kind)]
    assert {(one.group, one.plural) for one in kinds} == set(granted) - {("", "pods/log")}
    assert all("get" in verbs for verbs in granted.values())
    writes = {"create", "patch"}
    assert writes <= granted["serving.kserve.io", "inferenceservices"]
    assert writes <= granted["gateway.networking.k8s.io", "httproutes"]
    assert not writes & granted["", "pods"]
