"""The same rollouts with a real MLflow as registry, and what happens when that is gone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from serving.rollout.phases import Rollout
from serving.rollout.targets.base import Deployment
from tests.mlflow_server import TrackingServer, tracking_server
from tests.performance.rollout_live import LABELS, OUTAGE_SECONDS, Outcome, Rig, line, settings
from tests.postgresql import Cluster
from tests.stand_ins.data_plane import Laboratory, laboratory
from tests.tiny_version import artefact, promoted, registered
from training import registry
from training.gate_evidence import APPROVAL_TAG
from training.promotion import Promotion
from training.registry import REVIEWER, TRAINER, ModelVersion
from training.registry.versions import create_version

Act = Callable[["Registered", Rig], tuple[Rollout, Mapping[str, float]]]


@dataclass(frozen=True)
class Registered:
    """Versions that MLflow knows and a reviewer approved; their servers are stand-ins."""

    server: TrackingServer
    lab: Laboratory
    trained: ModelVersion
    folder: Path

    def roll_out(self, behaviour: str = "good") -> Rollout:
        """A new version, through gates' evidence and the reviewer's tag, begins its rollout."""
        trained, trainer = self.trained, registry.connect(self.server.settings, TRAINER)
        model_id = trained.source.removeprefix("models:/")
        version = create_version(trainer, trained.source, trained.run_id, model_id, trained.tags)
        promotion = Promotion.of(self.server.settings)
        assert promoted(promotion, version, self.folder).promoted
        assert promotion.approve(version.number, self._reviewer).approved
        with (self.lab.home / "registry" / "approved").open("a") as file:
            file.write(f"{version.number}\n")
        model = Deployment(f"stand-in/{behaviour}", str(version.number))
        return self.lab.store.start(model, self.lab.settings.rollout.steps, self.lab.target.slots)

    def withdraw(self, rollout: Rollout) -> None:
        registry.set_tags(self._reviewer, int(rollout.version), {APPROVAL_TAG: "withdrawn"})

    def champion(self) -> str:
        found = registry.champion_version(registry.connect(self.server.settings, TRAINER))
        return "" if found is None else str(found.number)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """MLflow hangs: it takes connections and never answers."""
        group = os.getpgid(self.server.process.pid)
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    @property
    def _reviewer(self) -> registry.Connection:
        return registry.connect(self.server.settings, REVIEWER)


def rolled_out(known: Registered, _rig: Rig) -> tuple[Rollout, dict[str, float]]:
    return known.roll_out(), {}


def outage(known: Registered, rig: Rig) -> tuple[Rollout, dict[str, float]]:
    rollout = known.roll_out()
    rig.lab.at(rollout, LABELS[1])
    with known.stopped(), rig.without_database_and_registry():
        time.sleep(OUTAGE_SECONDS)
    return rollout, {}


def withdrawn(known: Registered, rig: Rig) -> tuple[Rollout, dict[str, float]]:
    rollout = known.roll_out()
    rig.lab.at(rollout, LABELS[1])
    rig.lab.store.ask("pause", by="bench")
    rig.steady()
    known.withdraw(rollout)
    began = time.time()
    rig.lab.ended(rollout)
    return rollout, {"revocation_to_end": time.time() - began}


SCENARIOS: tuple[tuple[str, Act, str], ...] = (
    ("MLflow: full rollout", rolled_out, "done"),
    ("MLflow: approval withdrawn in canary", withdrawn, "rolled_back"),
    (f"MLflow hangs, database down, {OUTAGE_SECONDS:.0f} s in canary", outage, "done"),
)


def play(home: Path, database: Cluster, say: Callable[[str], None]) -> list[Outcome]:
    """The scenarios, one after the other, with MLflow's own process beside the data plane."""
    found: list[Outcome] = []
    variables = {"WEIR__STATE__URL": database.url}
    with (
        TemporaryDirectory() as folder,
        tracking_server(home, **variables) as server,
        laboratory(home, **settings(database), REGISTRY__TRACKING_URI=server.uri) as lab,
    ):
        (home / "registry" / "mlflow").touch()
        trainer = registry.connect(server.settings, TRAINER)
        trained = registered(trainer, artefact(Path(folder) / "tiny"))
        known = Registered(server, lab, trained, Path(folder))
        lab.start_gateway()
        lab.start_controller()
        assert lab.ended(known.roll_out()).phase == "done"
        with Rig(lab, database, home / "answers.jsonl").running() as rig:
            for name, act, expected in SCENARIOS:
                outcome = rig.play(name, lambda rig, act=act: act(known, rig), expected)
                found.append(outcome)
                say(line(outcome))
                assert known.champion() == _stable(lab)
    return found


def _stable(lab: Laboratory) -> str:
    stable = lab.store.stable()
    return "" if stable is None else stable.model.version
