"""`training fit-fusion` under torchrun: two processes, one of them killed, then a restart."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from data_contracts.config import PROJECT, load_settings
from data_contracts.errors import BadInput
from tests.stand_ins.modalities import NoMedia, SmellExtractor, SoundExtractor
from tests.unit.training.test_fused_ensemble import STAGES, composed
from tests.unit.training.test_train_and_ensemble import WordEncoder, _rows
from training.artefact_files import read_arrays
from training.fusion_command import run
from training.stage_sources import TrainingStages
from training.train import Plan, train
from training.tuning import NoTrialLog

EPOCHS = 14
PATIENCE_SECONDS = 120.0  # far less than --timeout: a job that hangs fails the test


@dataclass(frozen=True)
class Trained:
    """A model's folder, its version, its tokens, and the environment that knows its stages."""

    model: Path
    version: str
    tokens: Path
    environment: dict[str, str]

    def asked(self, output: Path, epochs: int | None = None) -> argparse.Namespace:
        return argparse.Namespace(
            model=self.model, tokens=self.tokens, output=output, checkpoints=None, epochs=epochs,
            timeout=300.0,
        )  # fmt: skip

    def torchrun(self, output: Path, log: Path) -> subprocess.Popen[bytes]:
        """Two processes on this machine, as a TrainJob starts them on two."""
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            "-m", "training", "fit-fusion", f"--model={self.model}", f"--tokens={self.tokens}",
            f"--output={output}", f"--epochs={EPOCHS}", "--timeout=300",
            f"--result={log.with_suffix('.json')}",
        ]  # fmt: skip
        with log.open("wb") as said:
            return subprocess.Popen(
                command, cwd=PROJECT, env=self.environment, stdout=said, stderr=said
            )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    home = tmp_path_factory.mktemp("fit-fusion")
    (home / "encoder.onnx").write_bytes(b"stands in for an encoder")
    extractors = {"smell": SmellExtractor({}, NoMedia()), "sound": SoundExtractor({}, NoMedia())}
    plan = Plan(0, 3, 7, 0.01, home / "studies", fusion_tokens=home / "tokens.npz")
    ensemble = train(
        [*_rows(), *composed(360, 1)], WordEncoder(), home / "encoder.onnx", plan, NoTrialLog(),
        lambda message: None, TrainingStages(STAGES, extractors, {}),
    )  # fmt: skip
    ensemble.save(home / "model")
    stages = yaml.safe_dump({name: stage.model_dump() for name, stage in STAGES.items()})
    environment = {
        **os.environ, "WEIR_HOME": str(home), "WEIR__ENSEMBLE__STAGES": stages,
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return Trained(home / "model", ensemble.version, home / "tokens.npz", environment)


def fusion_of(model: Path) -> dict[str, np.ndarray]:
    return read_arrays(model / "fusion.npz")


def test_one_process_gives_the_very_same_model_again(trained: Trained, tmp_path: Path) -> None:
    result = run(trained.asked(tmp_path / "again"), load_settings(trained.environment))
    assert result["model_version"] == trained.version
    before, after = (
        json.loads((model / "training.json").read_text())["quality_out_of_fold"]
        for model in (trained.model, tmp_path / "again")
    )
    assert after == before
    old, new = (read_arrays(model / "out_of_fold.npz")["scores"]
                for model in (trained.model, tmp_path / "again"))  # fmt: skip
    assert (old == new).all()


def test_tokens_of_another_model_are_refused(trained: Trained, tmp_path: Path) -> None:
    result = run(trained.asked(tmp_path / "other", epochs=1), load_settings(trained.environment))
    assert result["model_version"] != trained.version
    asked = trained.asked(tmp_path / "again")
    asked.model = tmp_path / "other"
    with pytest.raises(BadInput, match=f"the tokens are of {trained.version}"):
        run(asked, load_settings(trained.environment))


def test_a_killed_process_fails_the_job_and_a_restart_ends_as_if_nothing_had_been(
    trained: Trained, tmp_path: Path
) -> None:
    output, log = tmp_path / "together", tmp_path / "log.txt"
    checkpoint = tmp_path / "together.checkpoints" / "fold-0.pt"
    kill_one(trained.torchrun(output, log), checkpoint, log)
    assert not output.exists()
    assert checkpoint.is_file()

    job = trained.torchrun(output, log)
    assert job.wait(PATIENCE_SECONDS) == 0, log.read_text()
    result = json.loads(log.with_suffix(".json").read_text())
    assert (result["processes"], result["device"]) == (2, "cpu")

    alone = run(trained.asked(tmp_path / "alone", EPOCHS), load_settings(trained.environment))
    assert result["losses"] == pytest.approx(alone["losses"], abs=1e-3)
    expected, found = fusion_of(tmp_path / "alone"), fusion_of(output)
    apart = max(np.abs(found[name] - weight).max() for name, weight in expected.items())
    unlike = max(np.abs(fusion_of(trained.model)[n] - w).max() for n, w in expected.items())
    assert apart < 1e-5 < 1e-2 < unlike


def kill_one(job: subprocess.Popen[bytes], checkpoint: Path, log: Path) -> None:
    """SIGKILL to one of the two processes after its first epoch; the job must end by itself."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not checkpoint.is_file():
        assert job.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    workers = psutil.Process(job.pid).children()
    assert len(workers) == 2
    workers[1].kill()
    try:
        assert job.wait(PATIENCE_SECONDS) != 0
    finally:
        job.kill()
    assert not [worker for worker in workers if worker.is_running()]
