"""What a spammer does to a text so that a filter misreads it and a person does not.

Each perturbation is one file and one line in `PERTURBATIONS`; all are seeded, and all leave links
and numbers alone, since a spammer whose link is broken earns nothing. The adversarial gate judges
by them, and the adversarial sampler asks about events whose verdict they turn.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.perturbations.base import Perturbation, disguised
from pipelines.perturbations.homoglyph import Homoglyph
from pipelines.perturbations.leetspeak import Leetspeak
from pipelines.perturbations.spacing import Spacing

PERTURBATIONS: Mapping[str, type[Perturbation]] = {
    "homoglyph": Homoglyph,
    "leetspeak": Leetspeak,
    "spacing": Spacing,
}

__all__ = ["PERTURBATIONS", "Homoglyph", "Leetspeak", "Perturbation", "Spacing", "disguised"]
