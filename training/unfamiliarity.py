"""How far a text lies from the training texts, and what to trust there.

Sharp stages are sharp on known ground only. As the share of n-grams that training never saw
grows past what training texts themselves show, the score moves to the general reading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.calibration import Calibration
from training.logistic import Floats

FAMILIAR_QUANTILE = 0.99
MARGIN = 0.15


@dataclass(frozen=True)
class Unfamiliarity:
    """Unseen shares up to `familiar` are known ground; from `familiar` + `margin` on, none is."""

    familiar: float
    general: Calibration
    margin: float = MARGIN

    def share_of_general(self, unseen: Floats) -> Floats:
        """float64[n] in [0, 1]: the weight of the general reading."""
        return np.asarray(np.clip((np.asarray(unseen) - self.familiar) / self.margin, 0.0, 1.0))

    def is_unlike_training(self, unseen: float) -> bool:
        return unseen > self.familiar

    def blend(self, known: Floats, general: Floats, unseen: Floats) -> Floats:
        """Log-odds float64[n] from those of the meta-learner and of the `general` head."""
        share = self.share_of_general(unseen)
        steady = self.general.slope * np.asarray(general) + self.general.intercept
        return np.asarray((1.0 - share) * np.asarray(known) + share * steady)
