"""The day's pool: every event of the day, whatever the filter did, with what the arms ask for.

It is written as Parquet and shortlisted by the configured engine, so that a day need not fit
into memory with its embeddings. Whatever cannot be had (scores, embeddings) is null, and said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data_contracts.config import Labelling
from data_contracts.errors import MissingPart
from data_contracts.files import opened_atomically
from data_contracts.protocols import Scorer
from data_contracts.tables import FEATURES, partition
from pipelines import lake
from pipelines.labelling.day_decisions import (
    DECISIONS,
    aligned,
    current_decisions,
    decisions,
    operating_threshold,
)
from pipelines.labelling.emergence import emergence_column
from pipelines.labelling.evasion import (
    column,
    evasion_similarity,
    flip_candidates,
    flip_shares,
)
from pipelines.labelling.event_features import EventEncoder, day_features, stored_features
from pipelines.labelling.label_history import LabelHistory, days_before, label_history
from pipelines.labelling.samplers import Pool
from pipelines.labelling.samplers.base import Vectors, stacked
from pipelines.labelling.shortlist import shortlist
from pipelines.tables import Backend, duckdb_backend, parquet, spark_backend

ALSO = ("flip_share", "evasion_similarity", "emergence")
MOST_COMPARED = 10_000  # events of today, and of the days before: emergence compares all pairs
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class DayPool:
    """What can be chosen of a day, and what is known around it.

    `decided` has a row of DECISIONS for each scored event. `before` are the scores of the
    reference days: float64[n]. `gaps` says what could not be had.
    """

    pool: Pool
    decided: pa.Table
    history: LabelHistory
    before: Scores
    gaps: tuple[str, ...]


@dataclass(frozen=True)
class PoolMaker:
    """Where events come from and what scores and embeds them; `scratch` is for the engine."""

    lake: Path
    scratch: Path
    labelling: Labelling
    scorer: Scorer
    encoder: EventEncoder

    def make(self, day: str) -> DayPool:
        """The pool of a day that has events."""
        events = lake.read(self.lake, "events", [day]).sort_by("event_id")
        decided, gap = decisions(events, lake.read(self.lake, "verdicts", [day]), self.scorer)
        features, bare = self._features(day, events)
        flips, untried = self._flips(events, decided)
        with self._backend() as backend:
            worth_days = days_before(day, self.labelling.worth_days, lake.days(self.lake, "labels"))
            history = label_history(self.lake, worth_days, self.encoder.version, backend)
            table = _table(events, decided, features, flips, history)
            table = table.append_column("emergence", self._emergence(day, table["embedding"]))
            pool = self._shortlisted(day, table, _threshold(decided), backend)
        return DayPool(
            pool=replace(pool, covered=history.covered),
            decided=decided,
            history=history,
            before=self._scores_before(day),
            gaps=tuple(one for one in (gap, bare, untried) if one is not None),
        )

    def _features(self, day: str, events: pa.Table) -> tuple[pa.Table, str | None]:
        try:
            return day_features(self.lake, day, events, self.encoder), None
        except MissingPart as error:  # arms that need no embedding still work
            return FEATURES.empty_table(), f"events have no embedding ({error})"

    def _flips(self, events: pa.Table, decided: pa.Table) -> tuple[dict[str, float], str | None]:
        wanted = pa.array(flip_candidates(decided, self.labelling.flip_candidates), pa.string())
        rows = events.filter(pc.is_in(events["event_id"], value_set=wanted)).to_pylist()
        candidates = [lake.event_of(row) for row in rows]
        return flip_shares(candidates, self.scorer, self.labelling.seed)

    def _shortlisted(self, day: str, table: pa.Table, threshold: float, backend: Backend) -> Pool:
        path = self.scratch / f"pool-{day}.parquet"
        with opened_atomically(path) as file:
            pq.write_table(table, file)
        try:
            short = shortlist(
                parquet(backend, [path]),
                self._reference(day, backend),
                budget=min(self.labelling.budget, table.num_rows),
                seed=self.labelling.seed,
                threshold=threshold,
                also=ALSO,
            )
        finally:
            path.unlink()
        return Pool.of(short.rows, threshold, short.population)

    def _reference(self, day: str, backend: Backend) -> Any:
        """The features of the days before: what is not new."""
        days = days_before(day, self.labelling.reference_days, lake.days(self.lake, "features"))
        if not days:
            return None
        files = [partition(self.lake, "features", one) / lake.PART for one in days]
        rows = parquet(backend, files)
        return rows.filter(rows.encoder == self.encoder.version)

    def _emergence(self, day: str, embeddings: pa.ChunkedArray) -> pa.Array:
        """Of at most MOST_COMPARED events of the day, drawn uniformly; null for the others."""
        known = np.flatnonzero(pc.is_valid(embeddings).to_numpy())
        rows = np.sort(self._rng(day).permutation(known)[:MOST_COMPARED])
        measured = np.zeros(len(embeddings), bool)
        measured[rows] = True
        lists = pc.if_else(pa.array(measured), embeddings.combine_chunks(), None)
        return emergence_column(pa.chunked_array([lists]), self._past(day))

    def _past(self, day: str) -> Vectors:
        """float32[<= MOST_COMPARED, d]: a uniform part of the reference days' embeddings."""
        days = days_before(day, self.labelling.reference_days, lake.days(self.lake, "features"))
        parts = []
        for one in days:
            rows = stored_features(self.lake, [one], self.encoder.version)["embedding"]
            drawn = self._rng(one).permutation(len(rows))[: MOST_COMPARED // len(days)]
            parts += [stacked(rows.take(pa.array(np.sort(drawn))))] if len(drawn) else []
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def _rng(self, day: str) -> np.random.Generator:
        return np.random.default_rng([self.labelling.seed, int(day.replace("-", ""))])

    def _scores_before(self, day: str) -> Scores:
        days = days_before(day, self.labelling.reference_days, lake.days(self.lake, "verdicts"))
        scores: Scores = current_decisions(lake.read(self.lake, "verdicts", days))[
            "score"
        ].to_numpy()
        return scores

    @contextmanager
    def _backend(self) -> Iterator[Backend]:
        """The engine of `labelling.engine`."""
        opened = (
            duckdb_backend(self.scratch)
            if self.labelling.engine == "duckdb"
            else spark_backend(self.scratch, master=self.labelling.spark_master)
        )
        with opened as backend:
            yield backend


def _threshold(decided: pa.Table) -> float:
    acted = pc.not_equal(decided["action"], "allow").to_numpy()
    return operating_threshold(decided["score"].to_numpy(), acted)


def _table(
    events: pa.Table,
    decided: pa.Table,
    features: pa.Table,
    flips: dict[str, float],
    history: LabelHistory,
) -> pa.Table:
    ids = events["event_id"].combine_chunks()
    known = aligned(decided, ids)
    embedding = aligned(features, ids)["embedding"]
    columns = {name: events[name] for name in ("event_id", "language", "occurred_at")}
    columns |= {name: known[name] for name in DECISIONS.names if name.endswith("score")}
    columns |= {
        "embedding": embedding,
        "flip_share": column(flips, ids.to_pylist()),
        "evasion_similarity": evasion_similarity(embedding, history.evasions),
    }
    return pa.table(columns)
