"""The interface of a specialist: one stage's features in, one log-odds of spam out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class StageRows(NamedTuple):
    """n rows of one stage: `columns` float32[n, k] with NaN, `embeddings` float32[n, d].

    `datasets` str[n] names where each row comes from, for weights balanced over sets.
    """

    columns: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    targets: NDArray[np.int64]
    datasets: NDArray[np.str_]

    def part(self, rows: NDArray[np.int64]) -> StageRows:
        return StageRows(
            self.columns[rows], self.embeddings[rows], self.targets[rows], self.datasets[rows]
        )


class Specialist(Protocol):
    """A trained model of one stage."""

    def score(self, columns: NDArray[np.float32], embedding: NDArray[np.float32]) -> float:
        """Log-odds of spam for one event: float32[k] and float32[d]."""
        ...

    def files(self) -> Mapping[str, bytes]:
        """Its files by name, in formats that cannot execute code; `load` reads them again."""
        ...


class SpecialistFamily(Protocol):
    """Trains and loads specialists of one kind."""

    def fit(
        self,
        rows: StageRows,
        names: Sequence[str],
        parameters: Mapping[str, float | int],
        *,
        seed: int,
    ) -> Specialist:
        """The same rows, parameters and seed give the same specialist."""
        ...

    def load(self, files: Mapping[str, bytes]) -> Specialist:
        """BadInput for files that are not of this family."""
        ...
