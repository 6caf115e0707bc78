"""A day of the lake against the days before it: what is counted, kept, compared and sampled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.config import Drift
from data_contracts.files import write_atomically
from data_contracts.tables import partition
from evaluation.monitoring.drift.bins import Bins
from evaluation.monitoring.drift.causes import LEVELS
from evaluation.monitoring.drift.columns import CATEGORIES, NUMBERS, described, drawn, embedded
from evaluation.monitoring.drift.counting import POSITIVE, counted, fitted, quantiles
from evaluation.monitoring.drift.embeddings import DaySample, EmbeddingDrift, embedding_drift
from evaluation.monitoring.drift.histograms import SCORE, Histogram, kept
from evaluation.monitoring.drift.judging import FeatureDrift, compared
from evaluation.monitoring.drift.reference import reference
from pipelines import lake
from pipelines.tables import Backend, arrow, duckdb_backend, held, spark_backend

SEED = 20_261_130  # of every draw: the same day gives the same report
BINS = "bins.json"


@dataclass(frozen=True)
class LakeDrift:
    """Of one lake; `reports` has those of its days, `folder` keeps bins and histograms, `scratch`
    is for the engine."""

    lake: Path
    reports: Path
    folder: Path
    scratch: Path
    settings: Drift

    @contextmanager
    def opened(self) -> Iterator[Backend]:
        """The engine of `monitoring.drift.engine`, held to its memory."""
        settings = self.settings
        opened = (
            duckdb_backend(self.scratch, memory_gib=settings.memory_gib, threads=settings.threads)
            if settings.engine == "duckdb"
            else spark_backend(self.scratch, master=settings.spark_master)
        )
        with opened as backend:
            yield backend

    def reference(self, day: str, known: Sequence[str]) -> list[str]:
        """The days before it that it is held against."""
        return reference(day, known, self.reports, self.settings)

    def rows(self, days: Sequence[str]) -> int:
        """How many events these days have, as their files say."""
        parts = (partition(self.lake, "events", day) / lake.PART for day in days)
        return sum(pq.ParquetFile(part).metadata.num_rows for part in parts if part.is_file())

    def features(self, backend: Backend, day: str, before: Sequence[str]) -> list[FeatureDrift]:
        """Ranked by what is at stake; empty where the days are too few to judge."""
        if not before:
            return []
        bins = self._bins(backend, before)
        usual = [self._histograms(backend, bins, one) for one in before]
        current = self._histograms(backend, bins, day, anew=True)
        table = described(backend, self.lake, [day])
        return compared(
            bins, usual, current, self.settings, lambda name: quantiles(table, name, LEVELS)
        )

    def embeddings(self, backend: Backend, day: str) -> EmbeddingDrift | None:
        """Of the newest day up to this one that has embeddings: they are made after the day."""
        days = [one for one in lake.days(self.lake, "features") if one <= day]
        if not days:
            return None
        current, encoder = self._sample(backend, days[-1], None)
        before = self.reference(days[-1], days)
        samples = [self._sample(backend, one, encoder)[0] for one in before]
        return embedding_drift(current, samples, self.settings, np.random.default_rng(SEED))

    def frame(self, backend: Backend, days: Sequence[str]) -> pd.DataFrame:
        """At most `sample_rows` events of these days for a report that people read."""
        rows = drawn(described(backend, self.lake, days), self.settings.sample_rows, SEED)
        frame: pd.DataFrame = arrow(rows).drop_columns(["event_id", POSITIVE]).to_pandas()
        types = {**dict.fromkeys((*NUMBERS, SCORE), float), **dict.fromkeys(CATEGORIES, str)}
        return frame.astype(types)

    def _bins(self, backend: Backend, before: Sequence[str]) -> Bins:
        """Those that are kept, while they are of enough days and not too old."""
        path = self.folder / BINS
        bins = Bins.from_json(path.read_bytes()) if path.is_file() else None
        if bins is None or not self._serve(bins, before):
            with held(described(backend, self.lake, before)) as rows:
                bins = fitted(
                    rows, (*NUMBERS, SCORE), CATEGORIES, before,
                    bins=self.settings.bins, most_categories=self.settings.most_categories,
                )  # fmt: skip
            write_atomically(path, bins.as_json())
        return bins

    def _serve(self, bins: Bins, before: Sequence[str]) -> bool:
        """Fixed by fewer days than there are now, they were provisional; some day they are old."""
        names = {one.feature for one in bins.features}
        age = (pd.Timestamp(before[-1]) - pd.Timestamp(bins.days[-1])).days
        return (
            names == {*NUMBERS, SCORE, *CATEGORIES}
            and len(bins.days) >= min(len(before), self.settings.reference_days)
            and 0 <= age <= self.settings.bins_kept_days
        )

    def _histograms(
        self, backend: Backend, bins: Bins, day: str, *, anew: bool = False
    ) -> dict[str, Histogram]:
        """Texts are described and verdicts joined once a day, not once a feature."""

        def count() -> pa.Table:
            with held(described(backend, self.lake, [day])) as rows:
                return counted(rows, bins)

        return kept(self.folder, bins, day, count, anew=anew)

    def _sample(
        self, backend: Backend, day: str, encoder: str | None
    ) -> tuple[DaySample, str | None]:
        """Vectors of one encoder (None: that of the first row drawn); others cannot be compared."""
        rows = embedded(backend, self.lake, day)
        if encoder is not None:
            rows = rows.filter(rows.encoder == encoder)
        known = described(backend, self.lake, [day]).select("event_id", POSITIVE)
        chosen = drawn(rows, self.settings.embedding_rows, SEED)
        found = arrow(chosen.left_join(known, "event_id").select("embedding", "encoder", POSITIVE))
        encoders = found["encoder"].to_pylist()
        encoder = encoder or (encoders[0] if encoders else None)
        found = found.filter(np.array([one == encoder for one in encoders], bool))
        vectors = np.array(found["embedding"].to_pylist(), np.float32)
        positive = np.array([np.nan if x is None else x for x in found[POSITIVE].to_pylist()])
        return DaySample(day, vectors, positive.astype(float)), encoder
