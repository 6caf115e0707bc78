"""What the stages beside the text read out of the events of a training, computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from data_contracts.events import Event
from pipelines.features.base import Extractor, Features, no_features

Say = Callable[[str], None]
SAY_EVERY = 500
Array = NDArray[np.float32]


@dataclass(frozen=True)
class StageTable:
    """One stage over n events: `rows` int64[m] are those in which it read anything, ascending.

    `columns` float32[m, k] with NaN, `embeddings` float32[m, d], `texts` what was read in media.
    `families` names the feature family of each column.
    """

    rows: NDArray[np.int64]
    columns: Array
    embeddings: Array
    texts: tuple[str, ...]
    names: tuple[str, ...]
    families: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, chosen: NDArray[np.int64]) -> StageTable:
        """Of some of the n events, in the order given."""
        place = {int(row): at for at, row in enumerate(self.rows)}
        kept = [(to, place[int(row)]) for to, row in enumerate(chosen) if int(row) in place]
        at = np.array([old for _, old in kept], np.int64)
        return replace(
            self,
            rows=np.array([to for to, _ in kept], np.int64),
            columns=self.columns[at],
            embeddings=self.embeddings[at],
            texts=tuple(self.texts[one] for one in at),
        )

    def without(self, family: str) -> StageTable:
        """The same without the columns of a family."""
        kept = [at for at, name in enumerate(self.families) if name != family]
        return replace(
            self,
            columns=self.columns[:, kept],
            names=tuple(self.names[at] for at in kept),
            families=tuple(self.families[at] for at in kept),
        )

    def with_columns(self, columns: Array, names: Sequence[str], family: str) -> StageTable:
        """The same with more columns float32[m, j], all of one family."""
        return replace(
            self,
            columns=np.concatenate([self.columns, columns], axis=1),
            names=(*self.names, *names),
            families=(*self.families, *(family for _ in names)),
        )


def read_stages(
    events: Sequence[Event], extractors: Mapping[str, Extractor], say: Say
) -> dict[str, StageTable]:
    """A table a stage, in the order of `extractors`; stages that no event carries are left out."""
    tables = {}
    for name, extractor in extractors.items():
        table = _read(name, events, extractor, say)
        if len(table):
            tables[name] = table
    return tables


def _read(name: str, events: Sequence[Event], extractor: Extractor, say: Say) -> StageTable:
    carrying = [at for at, event in enumerate(events) if extractor.is_present(event)]
    rows: list[int] = []
    found: list[Features] = []
    for number, at in enumerate(carrying, 1):
        features = extractor.extract(events[at])
        if not np.isnan(features.columns).all():  # else there was nothing that could be read
            rows.append(at)
            found.append(features)
        if number % SAY_EVERY == 0:
            say(f"{name}: read {number} of {len(carrying)} events")
    empty = no_features(len(extractor.names), extractor.dimensions)
    return StageTable(
        rows=np.array(rows, np.int64),
        columns=np.stack([one.columns for one in found] or [empty.columns])[: len(rows)],
        embeddings=np.stack([one.embedding for one in found] or [empty.embedding])[: len(rows)],
        texts=tuple(one.text for one in found),
        names=extractor.names,
        families=tuple(extractor.families[name] for name in extractor.names),
    )
