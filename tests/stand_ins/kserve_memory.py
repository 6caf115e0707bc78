"""The `kserve` target on a cluster in memory: the real target, an emulated cluster, no waiting.

`kserve_target_in_memory()` is what a test starts from; its `cluster` shows every write, and its
`emulator` breaks pods. Both are ready at the second question, as `MemoryTarget` is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Literal

import orjson

from data_contracts.config import KServe, KServePool
from serving.rollout.targets.base import Counters
from serving.rollout.targets.kserve import KServeTarget
from serving.rollout.targets.kserve_cluster import (
    FIELD_MANAGER,
    INFERENCE_SERVICE,
    ConflictError,
    ForbiddenError,
    Kind,
    Object,
)
from tests.stand_ins.kserve_emulator import EmulatedCluster, Emulator, admit

NAMESPACE = "weir"


def kserve_settings(*contents: Literal["text", "media"]) -> KServe:
    """Settings with these pools; media alone by default."""
    return KServe(
        namespace=NAMESPACE,
        gateway="weir",
        listener="http",
        route="weir-predictions",
        pools={
            content: KServePool(
                inference_service=f"weir-{content}",
                runtime=f"weir-{content}",
                model_format="weir",
                replicas=2,
            )
            for content in contents or ("media",)
        },
        gateway_seconds=5,
        prometheus_url="http://127.0.0.1:1",
        requests_query='sum(weir_requests_total{pod=~"{pods}"})',
        errors_query='sum(weir_requests_total{pod=~"{pods}",status=~"[45].."})',
        access_log=Path("/nowhere/access.jsonl"),
        decisions=Path("/nowhere/decisions"),
    )


class MemoryCluster:
    """Objects in memory, with versions, generations, conflicts, and a record of every write."""

    has_deployments = True

    def __init__(self) -> None:
        self.writes: list[tuple[str, str, Object]] = []  # verb, kind and name, what was written
        self.forbidden: set[str] = set()  # names of kinds
        self.meanwhile: Callable[[], None] | None = None  # somebody else, just before a write
        self._objects: dict[str, dict[str, bytes]] = {}
        self._versions = count(1)
        self._keys = count(1)

    def new_key(self) -> str:
        return f"{next(self._keys):016x}"

    def get(self, kind: Kind, name: str) -> Object | None:
        self._permit(kind)
        found = self._of(kind).get(name)
        return None if found is None else _decoded(found)

    def find(self, kind: Kind, app: str | None = None) -> list[Object]:
        self._permit(kind)
        found = [_decoded(one) for one in self._of(kind).values()]
        return [one for one in found if app in (None, one["metadata"].get("labels", {}).get("app"))]

    def create(self, kind: Kind, wanted: Object) -> None:
        name = wanted["metadata"]["name"]
        self._disturb()
        if name in self._of(kind):
            raise ConflictError(f"{kind.name} {name} already exists")
        self.put(kind, wanted, FIELD_MANAGER)
        self.writes.append(("create", f"{kind.name} {name}", wanted))

    def patch(self, kind: Kind, name: str, change: Object) -> None:
        self._disturb()
        found = self.get(kind, name)
        version = change["metadata"]["resourceVersion"]
        if found is None or found["metadata"]["resourceVersion"] != version:
            raise ConflictError(f"{kind.name} {name}: the object has been modified")
        self.put(kind, merged(found, change), FIELD_MANAGER)
        self.writes.append(("patch", f"{kind.name} {name}", change))

    def log(self, pod: str, container: str, lines: int) -> str:
        return f"last words of {pod}"

    def edit(self, kind: Kind, name: str, change: Object, manager: str = "kubectl-edit") -> None:
        """Somebody else's write, as a merge patch."""
        found = self.get(kind, name)
        assert found is not None
        self.put(kind, merged(found, change), manager)

    def put(self, kind: Kind, wanted: Object, manager: str = "emulator") -> None:
        """Without asking anybody, as controllers do; nothing where nothing would change."""
        name = wanted["metadata"]["name"]
        before = self.get(kind, name) or {"metadata": {"generation": 0}}
        if kind == INFERENCE_SERVICE:
            admit(wanted)
        metadata = {key: before["metadata"][key] for key in _KEPT if key in before["metadata"]}
        made = {**wanted, "metadata": {**wanted["metadata"], **metadata}}
        if made == before:
            return
        changed = made.get("spec") != before.get("spec")
        metadata["generation"] = before["metadata"]["generation"] + (1 if changed else 0)
        metadata["resourceVersion"] = str(next(self._versions))
        metadata["uid"] = name
        metadata["managedFields"] = [{"manager": manager, "time": metadata["resourceVersion"]}]
        self._of(kind)[name] = orjson.dumps({**made, "metadata": {**made["metadata"], **metadata}})

    def set_status(self, kind: Kind, seen: Object, status: Object) -> None:
        self.put(kind, {**seen, "status": status})

    def drop(self, kind: Kind, name: str) -> None:
        self._of(kind).pop(name, None)

    def _of(self, kind: Kind) -> dict[str, bytes]:
        return self._objects.setdefault(kind.name, {})

    def _permit(self, kind: Kind) -> None:
        if kind.name in self.forbidden:
            raise ForbiddenError(f"cannot get {kind.plural}")

    def _disturb(self) -> None:
        if self.meanwhile is not None:
            self.meanwhile()


_KEPT = ("generation", "resourceVersion", "uid", "managedFields")


class EmulatedKServeTarget(KServeTarget):
    """The real target, which looks at its cluster once the emulated controllers had a turn."""

    def __init__(self, settings: KServe, cluster: EmulatedCluster) -> None:
        self.cluster: Any = cluster
        self.emulator = Emulator(cluster)
        self.said: list[str] = []
        self.answers = 0
        seconds = count()
        super().__init__(
            settings,
            ("a", "b", "c"),
            cluster,
            lambda pods: Counters(self.answers, 0),
            say=self.said.append,
            new_key=cluster.new_key,
            sleep=lambda _: self.emulator.reconcile(),
            monotonic=lambda: float(next(seconds)),
        )

    def ready(self, slot: str) -> bool:
        self.emulator.reconcile()
        return super().ready(slot)

    def answering(self, slot: str) -> bool:
        """Whether requests to the slot would be answered; asking this changes nothing."""
        return super().alive(slot) and super().ready(slot)

    def successor(self) -> EmulatedKServeTarget:
        """What a new process would start with: the same cluster, and no memory."""
        made = EmulatedKServeTarget(self._settings, self.cluster)
        made.emulator = self.emulator
        return made


def kserve_target_in_memory(*contents: Literal["text", "media"]) -> EmulatedKServeTarget:
    """A target on an empty cluster, with these pools (media alone by default)."""
    return EmulatedKServeTarget(kserve_settings(*contents), MemoryCluster())


def merged(current: Any, change: Any) -> Any:
    """RFC 7396: `change` applied to `current`."""
    if not isinstance(change, dict):
        return change
    start = current if isinstance(current, dict) else {}
    made = {key: value for key, value in start.items() if key not in change}
    for key, value in change.items():
        if value is not None:
            made[key] = merged(start.get(key), value)
    return made


def _decoded(found: bytes) -> Object:
    decoded: Object = orjson.loads(found)
    return decoded
