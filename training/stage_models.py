"""Specialists beside the text: fitted out of fold, calibrated, and as the artefact keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.calibration import Calibration, fit_calibration
from training.logistic import Floats
from training.specialists.base import Specialist, SpecialistFamily, StageRows
from training.stage_table import StageTable
from training.token_view import TokenView

Parameters = Mapping[str, float | int]
FEWEST_ROWS = 60
FEWEST_A_LABEL = 20


@dataclass(frozen=True)
class StageModel:
    """What an artefact holds of one stage: the specialist's `files`, its calibration, and the
    view that fusion has of it. `reads_text`: text found in media goes through the text models.
    """

    family: str
    files: Mapping[str, bytes]
    calibration: Calibration
    view: TokenView
    reads_text: bool
    cpu_milliseconds: float
    modality: str

    @cached_property
    def specialist(self) -> Specialist:
        return family_of(self.family).load(self.files)

    def log_odds(self, columns: NDArray[np.float32], embedding: NDArray[np.float32]) -> float:
        """Calibrated log-odds of one event: float32[k] and float32[d]."""
        raw = self.specialist.score(columns, embedding)
        return self.calibration.slope * raw + self.calibration.intercept


def family_of(path: str) -> SpecialistFamily:
    """The family at `module:Class`."""
    module, _, name = path.partition(":")
    family: SpecialistFamily = getattr(import_module(module), name)()
    return family


def can_learn(targets: NDArray[np.int64]) -> bool:
    """Whether there are rows enough of both labels for a specialist."""
    counts = np.bincount(targets, minlength=2)
    return len(targets) >= FEWEST_ROWS and bool(counts.min() >= FEWEST_A_LABEL)


def fit_stage(
    model: StageModel,
    table: StageTable,
    targets: NDArray[np.int64],
    datasets: NDArray[np.str_],
    folds: NDArray[np.int64],
    parameters: Parameters,
    *,
    seed: int,
) -> tuple[StageModel, Floats]:
    """The stage fitted on all its rows, and its calibrated log-odds out of fold, float64[m].

    `targets`, `datasets` and `folds` are those of the table's m rows. `model` says what is known
    before: family, cost, modality.
    """
    rows = StageRows(table.columns, table.embeddings, targets, datasets)
    raw = stage_out_of_fold(model.family, table, rows, folds, parameters, seed)
    calibration = fit_calibration(raw, targets)
    fitted = family_of(model.family).fit(rows, table.names, parameters, seed=seed)
    trained = replace(
        model,
        files=dict(fitted.files()),
        calibration=calibration,
        view=TokenView.of(table.columns, table.embeddings),
    )
    return trained, np.asarray(calibration.slope * raw + calibration.intercept)


def stage_out_of_fold(
    family: str,
    table: StageTable,
    rows: StageRows,
    folds: NDArray[np.int64],
    parameters: Parameters,
    seed: int,
) -> Floats:
    """Raw log-odds float64[m]; 0 where the other folds have too few rows to learn from."""
    scores = np.zeros(len(rows.targets))
    for fold in np.unique(folds):
        seen, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if not can_learn(rows.targets[seen]):
            continue
        member = family_of(family).fit(rows.part(seen), table.names, parameters, seed=seed)
        scores[held_out] = [
            member.score(rows.columns[row], rows.embeddings[row]) for row in held_out
        ]
    return scores


def untrained(family: str, modality: str, cpu_milliseconds: float, reads_text: bool) -> StageModel:
    """What is known of a stage before it is fitted."""
    nothing: Any = np.zeros(0, np.float32)
    view = TokenView(nothing, nothing, nothing, np.zeros((0, 0), np.float32))
    return StageModel(family, {}, Calibration(), view, reads_text, cpu_milliseconds, modality)
