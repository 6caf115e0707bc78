"""Everything an ensemble is made of, as training hands it over and the artefact keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.features.context import ContextColumns
from pipelines.features.text.vocabulary import Vocabulary
from training.fused_training import FusedParts
from training.likeness import Likeness
from training.ngram_log_odds import NgramLogOdds
from training.policy import Policy
from training.unfamiliarity import Ground


@dataclass(frozen=True)
class Parts:
    """The text's models and policy, and `fused`, what stands beside and above the text.

    `assets` are the files of the stages' model assets by name; `training` says what the ensemble
    was trained on and how.
    """

    vocabulary: Vocabulary
    context: ContextColumns
    ground: Ground
    ngrams: NgramLogOdds
    prefilter: str
    specialist: bytes
    likeness: Likeness
    encoder: Path
    policy: Policy
    fused: FusedParts | None = None
    assets: Mapping[str, Path] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    out_of_fold: bytes = b""
