"""What stands beside the text, as files of an artefact: JSON, .npz and the specialists' own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.errors import BadInput
from training.artefact_files import arrays_to_bytes, read_arrays, read_json
from training.calibration import Calibration
from training.fused_policy import FusedPolicy
from training.fused_training import FusedParts
from training.fusion import Fusion
from training.stage_models import StageModel
from training.token_view import TokenView

POLICY, VIEWS, FUSION = "fused.json", "fused_views.npz", "fusion.npz"
PREFILTER_VIEW, TEXT_VIEW = "prefilter", "text"


def fused_to_files(parts: FusedParts, assets: Mapping[str, str]) -> dict[str, bytes]:
    """Content by file name; `assets` says which file of the artefact each asset is."""
    views = {PREFILTER_VIEW: parts.prefilter_view, TEXT_VIEW: parts.text_view}
    views |= {f"stage.{name}": model.view for name, model in parts.stages.items()}
    record = {
        "assets": assets,
        "stages": {name: _described(model) for name, model in parts.stages.items()},
        "policy": parts.policy.as_record(),
    }
    return {
        POLICY: orjson.dumps(
            record, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
        ),
        VIEWS: arrays_to_bytes(
            **{f"{view}|{part}": values for view, one in views.items()
               for part, values in one._asdict().items()}
        ),
        FUSION: arrays_to_bytes(
            **{f"{at}|{name}": weight for at, member in enumerate(parts.fusion)
               for name, weight in member.weights.items()}
        ),
        **{_file(stage, name): content for stage, model in parts.stages.items()
           for name, content in model.files.items()},
    }  # fmt: skip


def read_fused(
    directory: Path, families: Mapping[str, str]
) -> tuple[FusedParts, dict[str, Path]] | None:
    """The parts and the asset files; None for an ensemble of text alone.

    `families` names the class of each stage's specialist: an artefact names none, since a name
    that is imported is code. BadInput where the files are not of this version, or a stage is
    not configured.
    """
    if not (directory / POLICY).is_file():
        return None
    record = read_json(directory / POLICY)
    try:
        views = _views(directory)
        parts = FusedParts(
            prefilter_view=views[PREFILTER_VIEW],
            text_view=views[TEXT_VIEW],
            stages={
                name: _stage(directory, name, stored, views[f"stage.{name}"], families)
                for name, stored in record["stages"].items()
            },
            fusion=_members(directory),
            policy=FusedPolicy.from_record(record["policy"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(
            f"{directory / POLICY} is not of this version: {error}; train again"
        ) from None
    return parts, {name: directory / file for name, file in record["assets"].items()}


def _described(model: StageModel) -> dict[str, Any]:
    return {
        "modality": model.modality,
        "reads_text": model.reads_text,
        "cpu_milliseconds": model.cpu_milliseconds,
        "calibration": asdict(model.calibration),
        "files": sorted(model.files),
    }


def _stage(
    directory: Path,
    name: str,
    stored: Mapping[str, Any],
    view: TokenView,
    families: Mapping[str, str],
) -> StageModel:
    if name not in families:
        raise BadInput(
            f"the model has a stage {name!r}, ensemble.stages only "
            f"{', '.join(families) or 'none'}; add its line to the configuration"
        )
    return StageModel(
        family=families[name],
        files={file: (directory / _file(name, file)).read_bytes() for file in stored["files"]},
        calibration=Calibration(**stored["calibration"]),
        view=view,
        reads_text=stored["reads_text"],
        cpu_milliseconds=stored["cpu_milliseconds"],
        modality=stored["modality"],
    )


def _views(directory: Path) -> dict[str, TokenView]:
    arrays = read_arrays(directory / VIEWS)
    names = dict.fromkeys(key.partition("|")[0] for key in arrays)
    return {
        name: TokenView(
            *(np.ascontiguousarray(arrays[f"{name}|{part}"]) for part in TokenView._fields)
        )
        for name in names
    }


def _members(directory: Path) -> tuple[Fusion, ...]:
    arrays = read_arrays(directory / FUSION)
    found: dict[int, dict[str, Any]] = {}
    for key, weight in arrays.items():
        at, _, name = key.partition("|")
        found.setdefault(int(at), {})[name] = weight
    return tuple(Fusion(found[at]) for at in sorted(found))


def _file(stage: str, name: str) -> str:
    return f"stage.{stage}.{name}"
