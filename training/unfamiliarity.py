"""How far a text lies from the training texts, and what to trust there.

Sharp stages are sharp on known ground only. Distance is Mahalanobis' (1936) over the lexical
features, the signs of disguise left out: a disguised text is an attack, not foreign ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.features.text.extraction import CHEAP_NAMES
from training.calibration import Calibration
from training.logistic import Floats

FAMILIAR_QUANTILE = 0.999
MARGIN_SHARE = 0.25
_BOUND = 3.0
_SHRINKAGE = 0.1
_DISGUISE = {"repaired_words", "invisibles", "mixed_script", "leet_share", "spread_words"}
_COLUMNS = [at for at, name in enumerate(CHEAP_NAMES) if name not in _DISGUISE]


class Ground(NamedTuple):
    """The shape of the training texts: `mean` and `inverse` deviation float64[k], and the inverse
    covariance `precision` float64[k, k] of the scaled features.
    """

    mean: Floats
    inverse: Floats
    precision: Floats

    @classmethod
    def of(cls, lexical: NDArray[np.float32]) -> Ground:
        """From the lexical features of all training texts, float32[n, len(CHEAP_NAMES)]."""
        columns = lexical[:, _COLUMNS].astype(np.float64)
        mean, inverse = columns.mean(axis=0), 1.0 / (columns.std(axis=0) + 1e-3)
        scaled = np.clip((columns - mean) * inverse, -_BOUND, _BOUND)
        covariance = scaled.T @ scaled / len(scaled) + _SHRINKAGE * np.eye(len(mean))
        return cls(mean, inverse, np.asarray(np.linalg.inv(covariance)))

    def distances(self, lexical: NDArray[np.float32]) -> Floats:
        """Squared distances float64[n], each from its own row alone."""
        scaled = np.clip((lexical[:, _COLUMNS] - self.mean) * self.inverse, -_BOUND, _BOUND)
        return np.array([row @ self.precision @ row for row in scaled])


@dataclass(frozen=True)
class Unfamiliarity:
    """Distances up to `familiar` are known ground; from `familiar` + `margin` on, none is."""

    familiar: float
    margin: float
    general: Calibration

    def share_of_general(self, distances: Floats) -> Floats:
        """float64[n] in [0, 1]: the weight of the general reading."""
        return np.asarray(np.clip((np.asarray(distances) - self.familiar) / self.margin, 0.0, 1.0))

    def is_unlike_training(self, distance: float) -> bool:
        return distance > self.familiar

    def blend(self, known: Floats, general: Floats, distances: Floats) -> Floats:
        """Log-odds float64[n] from those of the meta-learner and of the `general` head."""
        share = self.share_of_general(distances)
        steady = self.general.slope * np.asarray(general) + self.general.intercept
        return np.asarray((1.0 - share) * np.asarray(known) + share * steady)


def fit_unfamiliarity(distances: Floats, general: Calibration) -> Unfamiliarity:
    """Known ground reaches as far as nearly all training texts do."""
    familiar = float(np.quantile(distances, FAMILIAR_QUANTILE))
    return Unfamiliarity(familiar, max(MARGIN_SHARE * familiar, 1.0), general)
