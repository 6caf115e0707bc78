"""The real controller on the real local target, with stand-in servers and a registry of files.

`{home}/registry/` holds `approved` (a version a line), `revoked`, `champion`, and `dropped`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from data_contracts.config import load_settings
from pipelines.state import open_state
from serving.rollout.commands import evidence_of, run_until_stopped
from serving.rollout.controller import Controller, Registry
from serving.rollout.leadership import Leadership
from serving.rollout.store import RolloutStore
from serving.rollout.targets.base import Deployment
from serving.rollout.targets.local import LocalTarget, data_plane

MODEL_SERVER = (sys.executable, "-P", str(Path(__file__).parent / "model_server.py"))


@dataclass(frozen=True)
class Approval:
    approved: bool
    reason: str
    revoked: bool


def registry_of_files(folder: Path) -> Registry:
    def lines(name: str) -> list[str]:
        path = folder / name
        return path.read_text().split() if path.is_file() else []

    def add(name: str, version: str) -> None:
        with (folder / name).open("a") as file:
            file.write(f"{version}\n")

    def approval(version: str) -> Approval:
        revoked = version in lines("revoked")
        approved = version in lines("approved") and not revoked
        return Approval(approved, "" if approved else "nobody approved it", revoked)

    def champion() -> Deployment | None:
        champions = lines("champion")
        return Deployment("stand-in/good", champions[-1]) if champions else None

    return Registry(
        approval,
        lambda version: add("champion", version),
        lambda version: add("dropped", version),
        champion,
    )


def main() -> None:
    settings = load_settings(os.environ)
    engine = open_state(settings.state_url)
    store, leadership = RolloutStore(engine), Leadership(engine)
    store.prepare()
    leadership.prepare()
    plane = data_plane(settings.serving, settings.home)
    target = LocalTarget(plane, settings.home, MODEL_SERVER)
    controller = Controller(
        target,
        store,
        leadership,
        registry_of_files(settings.home / "registry"),
        evidence_of(settings),
        settings.rollout,
        slots=target.slots,
        start_seconds=settings.serving.start_timeout_seconds,
        say=lambda line: print(line, flush=True),
    )
    run_until_stopped(controller, leadership)


if __name__ == "__main__":
    main()
