"""Columns of the text sets for the meaning specialist and its baselines, computed once.

Kept under `{home}/cache/bench-quality` by the rows and by the code that reads them.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import pipelines.features.text.meaning as meaning_module
from data_contracts.config import Settings
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from evaluation.metrics import Booleans, Integers
from pipelines.assets import asset, asset_file
from pipelines.catalogue import read_labelled
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import OnnxEncoder
from pipelines.features.text.intent import ENCODER
from pipelines.features.text.lexical import lexical_features
from pipelines.features.text.meaning import MeaningExtractor
from pipelines.near_duplicates import group_related
from pipelines.splits import grouped_folds
from tests.performance.quality_parts import Say
from training.specialists.base import StageRows

SEED, TEST_FOLDS, MOST_ROWS = 20_260_105, 5, 5_000
SETS = (
    "text_sms_spam_uci", "text_sms_turkish", "text_telegram_chinese", "text_youtube_spam",
    "text_spamassassin",
)  # fmt: skip


class NoMedia:
    """The meaning of a text needs no media."""


@dataclass(frozen=True)
class Table:
    """One set: `lexical` and `meaning` float32[n, k]; rows of the test fold are not trained on."""

    name: str
    lexical: NDArray[np.float32]
    meaning: NDArray[np.float32]
    labels: Booleans
    groups: Integers
    trained: Booleans

    def families(self, *wanted: str) -> NDArray[np.float32]:
        """The meaning columns of these feature families."""
        kept = [MeaningExtractor.families[name] in wanted for name in MeaningExtractor.names]
        return self.meaning[:, kept]

    def rows(self, columns: NDArray[np.float32], chosen: Booleans) -> StageRows:
        count = int(chosen.sum())
        return StageRows(
            columns[chosen],
            np.zeros((count, 0), np.float32),
            self.labels[chosen].astype(np.int64),
            np.full(count, self.name),
        )


def sampled(rows: Sequence[LabelledEvent], most: int = MOST_ROWS) -> list[LabelledEvent]:
    """At most `most` rows, drawn without looking at them, in their order."""
    if len(rows) <= most:
        return list(rows)
    drawn = np.random.default_rng(SEED).choice(len(rows), most, replace=False)
    return [rows[number] for number in np.sort(drawn)]


def held_out_fold(rows: Sequence[LabelledEvent], groups: Integers) -> Booleans:
    """Whether each row is held out: the fifth with the most groups, related rows together."""
    strata = [(row.dataset, row.label) for row in rows]
    folds = grouped_folds(groups, strata, TEST_FOLDS, np.random.default_rng(SEED))
    sizes = [len(np.unique(groups[folds == fold])) for fold in range(TEST_FOLDS)]
    held_out: Booleans = folds == int(np.argmax(sizes))
    return held_out


def table_of(name: str, settings: Settings, say: Say) -> Table:
    """MissingPart where the set is absent."""
    rows = sampled(read_labelled(name, settings.data, settings.cache))
    groups = group_related(rows)
    lexical, meaning = _columns(rows, settings, say)
    labels = np.array([row.is_spam for row in rows], dtype=bool)
    return Table(name, lexical, meaning, labels, groups, ~held_out_fold(rows, groups))


def _columns(
    rows: Sequence[LabelledEvent], settings: Settings, say: Say
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    path = settings.cache / "bench-quality" / f"meaning-{_digest(rows)}.npz"
    if not path.is_file():
        say(f"meaning of {len(rows)} texts of {rows[0].dataset}")
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **_extracted(rows, settings))
        write_atomically(path, buffer.getvalue())
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
        return stored["lexical"], stored["meaning"]


def _extracted(rows: Sequence[LabelledEvent], settings: Settings) -> dict[str, NDArray[np.float32]]:
    file = asset_file(ENCODER, settings.data, settings.cache)
    version = asset(ENCODER).sha256
    with CachedEncoder(OnnxEncoder(file), settings.cache / "embeddings", version) as encoder:
        extractor = MeaningExtractor({ENCODER: file}, NoMedia(), encoder)  # type: ignore[arg-type]
        return {
            "lexical": np.array([lexical_features(row.event.text) for row in rows]),
            "meaning": np.array([extractor.extract(row.event).columns for row in rows]),
        }


def _digest(rows: Sequence[LabelledEvent]) -> str:
    """Of the rows, and of all that stands in the folder of the text features."""
    total = hashlib.sha256()
    for path in sorted(Path(meaning_module.__file__).parent.glob("*.*")):
        total.update(path.read_bytes())
    for row in rows:
        total.update(row.event.model_dump_json().encode())
    return total.hexdigest()[:24]
