"""What is known of a model's training: which cases it has seen, how far from them others lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from evaluation.gates.suite import UNKNOWN_LANGUAGE, Suite
from evaluation.metrics import Booleans
from training.seen_rows import SeenRows

if TYPE_CHECKING:
    from training.ensemble import Ensemble


@dataclass(frozen=True)
class Origin:
    """`seen` is None, and `languages` empty, where the artefact does not say.

    `promised_false_positive_rate` is what its thresholds were fitted for.
    """

    datasets: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()
    latest_event: datetime | None = None
    promised_false_positive_rate: float | None = None
    seen: SeenRows | None = None

    @classmethod
    def of(cls, ensemble: Ensemble) -> Origin:
        """From the artefact's own record."""
        record = ensemble.training
        latest = record.get("latest_event")
        return cls(
            frozenset(record.get("datasets", {})),
            frozenset(record.get("languages", {})),
            datetime.fromisoformat(latest) if latest else None,
            ensemble.parts.policy.thresholds.target_false_positive_rate,
            SeenRows.of(ensemble.parts.out_of_fold),
        )

    def saw(self, suite: Suite) -> Booleans:
        """bool[n]: the cases that resemble a training row, as far as the artefact can say."""
        return self.seen.saw(suite.events) if self.seen else np.zeros(len(suite.cases), dtype=bool)

    def beyond_corpora(self, suite: Suite) -> Booleans:
        """bool[n]: the cases of corpora that the model was not trained on; none if unknown."""
        known = self.datasets
        return np.array([bool(known) and one.dataset not in known for one in suite.cases], bool)

    def reach(self, suite: Suite) -> Mapping[str, Booleans]:
        """`zero_shot=corpus|language` and `time=after_training` with bool[n], where there are any.

        An event of unknown language belongs to no zero-shot language.
        """
        known, latest = {*self.languages, UNKNOWN_LANGUAGE}, self.latest_event
        times = [case.event.occurred_at for case in suite.cases]
        found = {
            "zero_shot=corpus": self.beyond_corpora(suite).tolist(),
            "zero_shot=language": [
                bool(self.languages) and case.language not in known for case in suite.cases
            ],
            "time=after_training": [
                latest is not None and time is not None and time > latest for time in times
            ],
        }
        return {name: np.array(rows, dtype=bool) for name, rows in found.items() if any(rows)}


NOTHING_KNOWN = Origin()
