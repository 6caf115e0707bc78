"""The verb `fit-fusion`: the fusion of a trained model anew, by as many processes as there are.

    torchrun --nproc-per-node 8 -m training fit-fusion --model DIR --tokens FILE --output DIR

Every process reads the tokens and trains the networks together (`training.distributed`); the first
one settles meta-learner, calibration and thresholds on them, and writes the whole model. All
return the same result. A job that was ended goes on after the last epoch that it kept.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from training.artefact_files import arrays_to_bytes
from training.distributed import Processes, joined
from training.ensemble import Ensemble
from training.fused_training import FusedParts, FusedScores, Tokens, settle_fused
from training.fusion_fitting import Fitted, fit_together
from training.fusion_tokens import FusionTask, read_task
from training.lineage import FILE as LINEAGE
from training.logistic import Floats
from training.parts import Parts
from training.settling import quality
from training.stage_sources import stage_sources


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Where the new model is, its version, and the loss of every network's last epoch."""
    began = time.monotonic()
    task = read_task(arguments.tokens)
    if arguments.epochs is not None:
        task = replace(task, fusion=replace(task.fusion, epochs=arguments.epochs))
    kept = arguments.checkpoints or Path(f"{arguments.output}.checkpoints")
    with joined(arguments.timeout) as processes:
        fitted = fit_members(task, processes, kept)
        saved = _save(arguments, settings, task, fitted) if processes.leads else None
        result: dict[str, Any] = processes.told(saved)
    return result | {
        "processes": processes.world,
        "device": processes.device.partition(":")[0],
        "seconds": round(time.monotonic() - began, 1),
    }


def fit_members(task: FusionTask, processes: Processes, kept: Path) -> list[Fitted]:
    """A network a fold, as `fused_training.fusion_members`, each from its last kept epoch."""
    fitted = []
    for fold in np.unique(task.rows.folds):
        seen = task.rows.folds != fold
        keeper = Checkpoints(kept / f"fold-{fold}.pt", _digest(task), processes)
        fitted.append(
            fit_together(
                task.tokens.part(seen), task.rows.targets[seen], np.ones(int(seen.sum())),
                task.fusion, seed=task.seed + int(fold), peers=processes, keeper=keeper,
            )
        )  # fmt: skip
        if processes.leads:
            losses = fitted[-1].losses
            print(f"fit-fusion: fold {fold}, {len(losses)} epochs, loss {losses[-1]:.6f}",
                  file=sys.stderr, flush=True)  # fmt: skip
    return fitted


@dataclass(frozen=True)
class Checkpoints:
    """The state of one network after its last epoch, in a file that the first process writes.

    `of` says what it is a state of: another task's is refused.
    """

    path: Path
    of: str
    processes: Processes

    def last(self) -> Mapping[str, Any] | None:
        """None where there is none yet. What the first process sees is what all take."""
        content = self.path.read_bytes() if self.processes.leads and self.path.is_file() else None
        content = self.processes.told(content)
        if content is None:
            return None
        import torch

        device, kept = self.processes.device, io.BytesIO(content)
        stored: dict[str, Any] = torch.load(kept, weights_only=True, map_location=device)
        if stored["of"] != self.of:
            raise BadInput(
                f"{self.path} is of other tokens or parameters; remove it, and start anew"
            )
        state: Mapping[str, Any] = stored["state"]
        return state

    def keep(self, state: Mapping[str, Any]) -> None:
        if not self.processes.leads:
            return
        import torch

        buffer = io.BytesIO()
        torch.save({"of": self.of, "state": dict(state)}, buffer)
        write_atomically(self.path, buffer.getvalue())


def _digest(task: FusionTask) -> str:
    """Of everything that the networks depend on."""
    total = hashlib.sha256(repr((task.fusion, task.seed, task.model_version)).encode())
    arrays = (task.rows.targets, task.rows.folds, task.tokens.present, task.tokens.log_odds)
    for array in (*arrays, *task.tokens.vectors):
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def _save(
    arguments: argparse.Namespace, settings: Settings, task: FusionTask, fitted: list[Fitted]
) -> dict[str, Any]:
    ensemble = refitted(
        Ensemble.load(arguments.model, sources=stage_sources(settings)), task, fitted
    )
    ensemble.save(arguments.output)
    if (arguments.model / LINEAGE).is_file():
        shutil.copyfile(arguments.model / LINEAGE, arguments.output / LINEAGE)
    return {
        "model": str(arguments.output),
        "model_version": ensemble.version,
        "fusion_of": task.model_version,
        "losses": [round(one.losses[-1], 6) for one in fitted],
        "quality_out_of_fold": ensemble.training["quality_out_of_fold"],
    }


def refitted(ensemble: Ensemble, task: FusionTask, fitted: list[Fitted]) -> Ensemble:
    """The same ensemble with other fusion networks, and all that is settled on them."""
    parts = ensemble.parts
    if ensemble.version != task.model_version or parts.fused is None:
        raise BadInput(
            f"the tokens are of {task.model_version}, the model is {ensemble.version}; "
            "give the model that was trained with them"
        )
    fused = parts.fused
    views = (fused.prefilter_view, fused.text_view, *(one.view for one in fused.stages.values()))
    tokens = Tokens(task.names, task.tokens, views, fused.stages)
    members = [one.fusion for one in fitted]
    settled, scores = settle_fused(task.rows, tokens, members, task.weighing, task.target_rate)
    return Ensemble(_judged_anew(parts, task, settled, scores))


def _judged_anew(parts: Parts, task: FusionTask, settled: FusedParts, scores: FusedScores) -> Parts:
    """What is known of the rows that carry more than text is what the new fusion says of them."""
    with np.load(io.BytesIO(parts.out_of_fold), allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    lowest = np.array([settled.policy.thresholds.of(kind)[0] for kind in task.rows.kinds])
    positive = task.positive.copy()
    positive[task.at] = scores.by_step[:, -1] >= lowest
    stored["scores"][task.at] = scores.by_step[:, -1]
    judged = _Rows(stored["datasets"], stored["targets"], stored["chances"])
    return replace(
        parts,
        fused=settled,
        out_of_fold=arrays_to_bytes(**stored),
        training={
            **parts.training,
            "fusion_fitted_anew": {"of": task.model_version, "epochs": task.fusion.epochs},
            "quality_out_of_fold": quality(judged, stored["scores"], positive),
        },
    )


@dataclass(frozen=True)
class _Rows:
    datasets: NDArray[np.str_]
    targets: NDArray[np.int64]
    chances: Floats

    def __len__(self) -> int:
        return len(self.targets)
