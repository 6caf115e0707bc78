"""The rows of a training that carry more than text, and how the ensemble learns from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from data_contracts.labels import LabelledEvent
from pipelines.features.text.extraction import TextExtractor
from training.fused_policy import kind_of
from training.fused_training import (
    FusedParameters,
    FusedParts,
    FusedRows,
    FusedScores,
    TextToken,
    Tokens,
    fit_fused,
)
from training.fused_trials import search_fused
from training.logistic import Floats, logit
from training.searching import StagedSearch
from training.stacking import STAGES, Stack
from training.stage_models import StageModel, can_learn, untrained
from training.stage_sources import TrainingStages
from training.stage_table import StageTable, read_stages
from training.table import Table
from training.text_reading import FAMILY, NAMES, TextReader

Say = Callable[[str], None]
Array = NDArray[np.float32]
FEWEST_TEXT_SHARE = 0.2
_TEXT_COLUMNS = [STAGES.index(name) for name in ("ngrams", "content", "style", "general")]
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TextOutOfFold:
    """The text models over all n rows: their stack, and calibrated probabilities out of fold by
    the prefilter alone (`early`) and by the whole text (`scores`), float64[n].
    """

    table: Table
    folds: NDArray[np.int64]
    stack: Stack
    early: Floats
    scores: Floats
    extractor: TextExtractor


@dataclass(frozen=True)
class Fused:
    """What was learnt of the rows that carry more than text, from what, and how it scores them."""

    rows: FusedRows
    parameters: FusedParameters
    parts: FusedParts
    scores: FusedScores
    tokens: Tokens

    @property
    def positive(self) -> NDArray[np.bool_]:
        """bool[m]: which rows would be acted on, out of fold and with everything run."""
        thresholds = self.parts.policy.thresholds
        lowest = np.array([thresholds.of(kind)[0] for kind in self.rows.kinds])
        return np.asarray(self.scores.by_step[:, -1] >= lowest)


@dataclass(frozen=True)
class Carried:
    """`fused` int64[m]: the rows that carry more than text; `tables` are over these m."""

    rows: Sequence[LabelledEvent]
    fused: NDArray[np.int64]
    tables: dict[str, StageTable]
    stages: TrainingStages

    @classmethod
    def by(cls, rows: Sequence[LabelledEvent], stages: TrainingStages, say: Say) -> Carried:
        """Read every stage of the rows that carry anything beside text."""
        beside = [
            extractor
            for name, extractor in stages.extractors.items()
            if stages.stages[name].modality != "text"
        ]
        fused = [
            at
            for at, row in enumerate(rows)
            if any(extractor.is_present(row.event) for extractor in beside)
        ]
        tables = read_stages([rows[at].event for at in fused], stages.extractors, say)
        return cls(rows, np.array(fused, np.int64), tables, stages)

    def text_learns_from(self) -> NDArray[np.bool_]:
        """bool[n]: rows whose label must come from their text, where there are enough of these.

        A post that is spam by its picture teaches the text models nothing but noise.
        """
        alone = np.ones(len(self.rows), bool)
        alone[self.fused] = False
        targets = np.array([row.is_spam for row in self.rows], np.int64)
        enough = alone.mean() >= FEWEST_TEXT_SHARE and can_learn(targets[alone])
        return alone if enough else np.ones(len(self.rows), bool)

    def fit(
        self,
        text: TextOutOfFold,
        search: StagedSearch,
        target_rate: float,
        seed: int,
        say: Say,
    ) -> Fused | None:
        """Everything beyond the text; None where the rows carry too little to learn from."""
        if not can_learn(text.table.targets[self.fused]):
            return None
        rows, tables = self.fused_rows(text), self.with_read_text(text, say)
        models = self.untrained(tables)
        parameters = search_fused(rows, tables, models, search, say, seed=seed)
        return Fused(
            rows, parameters,
            *fit_fused(rows, tables, models, parameters, target_rate, say, seed=seed),
        )  # fmt: skip

    def with_read_text(self, text: TextOutOfFold, say: Say) -> dict[str, StageTable]:
        """The tables, with what the text models say of text that was found in media."""
        return {
            name: self._with_read_text(table, text, say) if any(table.texts) else table
            for name, table in self.tables.items()
        }

    def untrained(self, tables: Mapping[str, StageTable]) -> dict[str, StageModel]:
        """What is known of each stage before it is fitted."""
        return {
            name: untrained(
                stage.specialist, stage.modality, stage.cpu_milliseconds,
                reads_text=name in tables and any(tables[name].texts),
            )
            for name, stage in self.stages.stages.items()
        }  # fmt: skip

    def fused_rows(self, text: TextOutOfFold) -> FusedRows:
        """The fused rows as the stages beyond the text see them."""
        chosen, table = self.fused, text.table
        worded = np.array([bool(self.rows[at].event.text.strip()) for at in chosen])
        times = [self.rows[at].event.occurred_at or _LONG_AGO for at in chosen]
        nothing = np.zeros((len(chosen), 0), np.float32)
        said = text.stack.log_odds[:, _TEXT_COLUMNS][chosen].astype(np.float32)
        return FusedRows(
            targets=table.targets[chosen],
            datasets=table.datasets[chosen],
            folds=text.folds[chosen],
            kinds=np.array(self._kinds()),
            chances=table.chances[chosen],
            order=np.array(sorted(range(len(times)), key=times.__getitem__), np.int64),
            prefilter=TextToken(
                np.ones(len(chosen), bool), logit(text.early[chosen]), table.lexical[chosen],
                nothing,
            ),
            text=TextToken(worded, logit(text.scores[chosen]), said, table.embeddings[chosen]),
        )  # fmt: skip

    def _kinds(self) -> list[str]:
        carried: list[list[str]] = [[] for _ in self.fused]
        for name, table in self.tables.items():
            for at in table.rows:
                carried[at].append(self.stages.stages[name].modality)
        pairs = zip(carried, self.fused, strict=True)
        return [kind_of(modalities, self.rows[at].event) for modalities, at in pairs]

    def _with_read_text(self, table: StageTable, text: TextOutOfFold, say: Say) -> StageTable:
        """The table with what the text models, blind to the row's fold, say of the text read."""
        say(f"reading the text of {sum(map(bool, table.texts))} media")
        readers = {fold: _reader(text, at) for at, fold in enumerate(np.unique(text.folds))}
        columns = [
            readers[text.folds[self.fused[at]]].columns(self.rows[self.fused[at]].event.text, read)
            for at, read in zip(table.rows, table.texts, strict=True)
        ]
        return table.with_columns(np.stack(columns), NAMES, FAMILY)


def _reader(text: TextOutOfFold, member: int) -> TextReader:
    specialist = text.stack.specialists[member]

    def heads(embedding: Array, lexical: Array) -> Array:
        return np.asarray(specialist.scores(embedding[None], lexical[None])[0])

    return TextReader(text.extractor, text.stack.ngram_members[member], heads)
