"""The real controller on the real local target, with stand-in servers and a registry of files.

`{home}/registry/` holds `approved` (a version a line), `revoked`, `champion`, and `dropped`; while
`down` lies there, the registry does not answer. `{home}/die.json` makes the process end, as by
SIGKILL, before or after its next so many calls of one act; see `Death`. Where
`{home}/registry/mlflow` lies, the registry is the configured MLflow.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson

from data_contracts.config import Settings, load_settings
from data_contracts.errors import ServiceUnavailable
from pipelines.state import open_state
from serving.rollout.commands import evidence_of, model_registry, run_until_stopped
from serving.rollout.controller import Controller, Registry
from serving.rollout.leadership import Leadership
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Deployment
from serving.rollout.targets.local import LocalTarget, data_plane

T = TypeVar("T")
KILLED = 137
MODEL_SERVER = (sys.executable, "-P", str(Path(__file__).parent / "model_server.py"))


ACTS = (
    "deploy", "restart", "remove", "set_traffic",
    "applied", "unapplied", "advance", "set_stable", "measured",
)  # fmt: skip


@dataclass(frozen=True)
class Death:
    """End the process `moment` (before, after) the call of `act` that follows `skip` others.

    Only calls count that come after `advances` transitions of this process.
    """

    act: str
    moment: str
    advances: int = 0
    skip: int = 0


class Deadly:
    """Lets the acts of the controller's parts pass until the planned death."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._death = Death(**orjson.loads(file.read_bytes())) if file.is_file() else None
        self._advances = 0
        self._skip = 0 if self._death is None else self._death.skip

    def guard(self, part: object) -> None:
        for name in ACTS:
            if hasattr(part, name):
                setattr(part, name, self.around(name, getattr(part, name)))

    def around(self, name: str, act: Callable[..., T]) -> Callable[..., T]:
        def guarded(*arguments: Any, **named: Any) -> T:
            is_it = self._is_it(name)
            if is_it and self._death is not None and self._death.moment == "before":
                self._die()
            result = act(*arguments, **named)
            self._advances += name == "advance"
            if is_it:
                self._die()
            return result

        return guarded

    def _is_it(self, name: str) -> bool:
        if self._death is None or name != self._death.act:
            return False
        if self._advances < self._death.advances:
            return False
        self._skip -= 1
        return self._skip < 0

    def _die(self) -> None:
        self._file.unlink()  # its successor lives
        os._exit(KILLED)


@dataclass(frozen=True)
class Approval:
    approved: bool
    reason: str
    revoked: bool


def registry_of_files(folder: Path, deadly: Deadly) -> Registry:
    def lines(name: str) -> list[str]:
        path = folder / name
        return path.read_text().split() if path.is_file() else []

    def answer() -> None:
        if (folder / "down").exists():
            raise ServiceUnavailable("the registry was told not to answer")

    def add(name: str, version: str) -> None:
        answer()
        with (folder / name).open("a") as file:
            file.write(f"{version}\n")

    def approval(version: str) -> Approval:
        answer()
        revoked = version in lines("revoked")
        approved = version in lines("approved") and not revoked
        return Approval(approved, "" if approved else "nobody approved it", revoked)

    def champion() -> Deployment | None:
        answer()
        champions = lines("champion")
        return Deployment("stand-in/good", champions[-1]) if champions else None

    return Registry(
        approval,
        deadly.around("make_champion", lambda version: add("champion", version)),
        deadly.around("drop_challenger", lambda version: add("dropped", version)),
        champion,
    )


def _registry(settings: Settings, deadly: Deadly) -> Registry:
    folder = settings.home / "registry"
    if (folder / "mlflow").exists():
        return model_registry(settings)
    return registry_of_files(folder, deadly)


def main() -> None:
    settings = load_settings(os.environ)
    engine = open_state(settings.state_url)
    store, leadership = RolloutStore(engine), Leadership(engine)
    store.prepare()
    leadership.prepare()
    plane = data_plane(settings.serving, settings.home)
    target = LocalTarget(plane, settings.home, MODEL_SERVER)
    deadly = Deadly(settings.home / "die.json")
    deadly.guard(target)
    deadly.guard(store)
    controller = Controller(
        target,
        store,
        leadership,
        _registry(settings, deadly),
        evidence_of(settings),
        settings.rollout,
        slots=target.slots,
        start_seconds=settings.serving.start_timeout_seconds,
        say=lambda line: print(line, flush=True),
        beside=ThreadPoolExecutor(1),
    )
    run_until_stopped(controller, leadership)


if __name__ == "__main__":
    main()
