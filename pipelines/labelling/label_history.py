"""What reviewers said before a day, with what is known of each event: the portfolio's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.tables import partition
from pipelines import lake
from pipelines.labelling.allocation import ArmLabels
from pipelines.labelling.day_decisions import aligned, current_decisions
from pipelines.labelling.samplers.base import Vectors, stacked
from pipelines.tables import Backend, arrow, parquet

MOST_COVERED = 5000  # of the newest: what the samplers compare a pool with
_JOINED = ("features", "labels")


@dataclass(frozen=True)
class LabelHistory:
    """Labelled events in the order in which their labels came.

    embeddings: float32[n, d], is_spam: bool[n], arms: the arm of each, chances: float64[n] (NaN
    where no chance drew it), evaded: bool[n], spam that the filter had allowed.
    """

    embeddings: Vectors
    is_spam: NDArray[np.bool_]
    arms: NDArray[np.str_]
    chances: NDArray[np.float64]
    evaded: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_spam)

    @property
    def by_arm(self) -> ArmLabels:
        return ArmLabels(self.embeddings, self.is_spam, self.arms, self.chances, self.evaded)

    @property
    def covered(self) -> Vectors:
        """The newest labelled events: their like needs no reviewer."""
        return self.embeddings[-MOST_COVERED:]

    @property
    def evasions(self) -> Vectors:
        """The newest confirmed evasions."""
        return self.embeddings[self.evaded][-MOST_COVERED:]


def days_before(day: str, n: int, known: Sequence[str]) -> list[str]:
    """Those of the `n` calendar days before `day` that are known.

    >>> days_before("2026-03-01", 2, ["2026-02-26", "2026-02-28", "2026-03-01"])
    ['2026-02-28']
    """
    first = (date.fromisoformat(day) - timedelta(days=n)).isoformat()
    return [one for one in known if first <= one < day]


def label_history(
    folder: Path, days: Sequence[str], encoder: str, backend: Backend
) -> LabelHistory:
    """The labels of these days of the lake whose events were embedded by this encoder.

    Where an event has several labels the latest counts. Only labelled events' vectors are read.
    """
    labels = _latest(lake.read(folder, "labels", days))
    vectors = _vectors(folder, days, encoder, backend)
    labels = labels.filter(pc.is_in(labels["event_id"], vectors["event_id"].combine_chunks()))
    if not labels.num_rows:
        return LabelHistory(
            np.empty((0, 0), np.float32), np.empty(0, bool), np.empty(0, str), np.empty(0),
            np.empty(0, bool),
        )  # fmt: skip
    ids = labels["event_id"].combine_chunks()
    is_spam = pc.equal(labels["label"], "spam").to_numpy()
    return LabelHistory(
        embeddings=stacked(aligned(vectors, ids)["embedding"]),
        is_spam=is_spam,
        arms=np.array([one.partition("/")[0] for one in labels["strategy"].to_pylist()]),
        chances=labels["inclusion_probability"].to_numpy().astype(np.float64),
        evaded=is_spam & np.isin(ids.to_pylist(), _allowed(folder, days)),
    )


def _latest(labels: pa.Table) -> pa.Table:
    """One row an event, its latest, in order of time; the label breaks ties."""
    order = [("observed_at", "ascending"), ("label", "ascending"), ("event_id", "ascending")]
    ordered = labels.sort_by(order)
    ids = ordered["event_id"].to_numpy()
    last = len(ids) - 1 - np.unique(ids[::-1], return_index=True)[1]
    return ordered.take(pa.array(np.sort(last), pa.int64()))


def _vectors(folder: Path, days: Sequence[str], encoder: str, backend: Backend) -> pa.Table:
    both = [day for day in days if all(lake.has(folder, name, day) for name in _JOINED)]
    if not both:
        return lake.read(folder, "features", []).select(["event_id", "embedding"])
    features, labels = (
        parquet(backend, [partition(folder, name, day) / lake.PART for day in both])
        for name in _JOINED
    )
    labelled = features.filter(features.encoder == encoder).semi_join(labels, "event_id")
    return arrow(labelled.select("event_id", "embedding"))


def _allowed(folder: Path, days: Sequence[str]) -> list[str]:
    decided = current_decisions(lake.read(folder, "verdicts", days))
    ids: list[str] = decided.filter(pc.equal(decided["action"], "allow"))["event_id"].to_pylist()
    return ids
