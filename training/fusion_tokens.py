"""What the fusion is trained on, as one file: tokens out of fold, labels, folds, parameters.

`training train --fusion-tokens FILE` writes it beside the model, and `training fit-fusion` trains
the fusion of that model anew, in as many processes as there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data_contracts.errors import BadInput, MissingPart
from data_contracts.files import write_atomically
from training.artefact_files import arrays_to_bytes, read_arrays
from training.fused_training import FusedParameters, FusedRows, TextToken, Tokens
from training.fusion import FusionParameters, FusionRows
from training.weighing import WeighingParameters

REMEDY = "write it with `python -m training train --fusion-tokens FILE`"
ROWS = ("targets", "datasets", "folds", "kinds", "chances", "order")


@dataclass(frozen=True)
class FusionTask:
    """m events that carry more than text, `at` int64[m] among all n of a training.

    `names` are the stages in the order of `tokens`; `positive` bool[n] says what the text alone
    would act on; `model_version` is the ensemble that was trained with them.
    """

    rows: FusedRows
    names: tuple[str, ...]
    tokens: FusionRows
    at: NDArray[np.int64]
    positive: NDArray[np.bool_]
    fusion: FusionParameters
    weighing: WeighingParameters
    target_rate: float
    seed: int
    model_version: str


def task_of(
    rows: FusedRows,
    tokens: Tokens,
    parameters: FusedParameters,
    **more: Any,
) -> FusionTask:
    """What a training knows of its fusion; `more` are the fields that it alone knows."""
    return FusionTask(
        rows, tokens.names, tokens.rows, fusion=parameters.fusion, weighing=parameters.weighing,
        **more,
    )  # fmt: skip


def write_task(path: Path, task: FusionTask) -> None:
    """One .npz without pickles."""
    said = {
        "names": task.names,
        "fusion": asdict(task.fusion),
        "weighing": asdict(task.weighing),
        "target_rate": task.target_rate,
        "seed": task.seed,
        "model_version": task.model_version,
    }
    arrays: dict[str, NDArray[Any]] = {name: getattr(task.rows, name) for name in ROWS}
    arrays |= {f"vectors.{at}": vector for at, vector in enumerate(task.tokens.vectors)}
    write_atomically(
        path,
        arrays_to_bytes(
            **arrays, present=task.tokens.present, log_odds=task.tokens.log_odds, at=task.at,
            positive=task.positive, said=np.frombuffer(orjson.dumps(said), np.uint8),
        ),
    )  # fmt: skip


def read_task(path: Path) -> FusionTask:
    """MissingPart or BadInput that says how to get the file."""
    if not path.is_file():
        raise MissingPart(f"{path} is absent; {REMEDY}")
    try:
        arrays = read_arrays(path)
        said: Mapping[str, Any] = orjson.loads(arrays["said"].tobytes())
        vectors = tuple(arrays[f"vectors.{at}"] for at in range(len(said["names"])))
        tokens = FusionRows(arrays["present"], arrays["log_odds"], vectors)
        return FusionTask(
            rows=FusedRows(
                **{name: arrays[name] for name in ROWS},
                prefilter=_token(tokens, 0), text=_token(tokens, 1),
            ),
            names=tuple(said["names"]),
            tokens=tokens,
            at=arrays["at"],
            positive=arrays["positive"],
            fusion=FusionParameters(**said["fusion"]),
            weighing=WeighingParameters(**said["weighing"]),
            target_rate=said["target_rate"],
            seed=said["seed"],
            model_version=said["model_version"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise BadInput(f"{path} holds no tokens of this version ({error}); {REMEDY}") from None


def _token(tokens: FusionRows, at: int) -> TextToken:
    """What fusion sees of a text model; the columns before its view are not kept."""
    nothing = np.zeros((len(tokens), 0), np.float32)
    return TextToken(tokens.present[:, at], tokens.log_odds[:, at], tokens.vectors[at], nothing)
