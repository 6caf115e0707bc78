"""What a spammer does to a text so that a filter misreads it and a person does not.

Each perturbation is one file and one line in `PERTURBATIONS`; all are seeded, and all leave links
and numbers alone, since a spammer whose link is broken earns nothing (`punycode` writes links
otherwise, so that they still lead there). The adversarial gate judges by them, and the adversarial
sampler asks about events whose verdict they turn.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.perturbations.base import Perturbation, disguised
from pipelines.perturbations.han_variants import HanVariants
from pipelines.perturbations.homoglyph import Homoglyph
from pipelines.perturbations.leetspeak import Leetspeak
from pipelines.perturbations.punycode import Punycode
from pipelines.perturbations.spacing import Spacing
from pipelines.perturbations.typos import Typos
from pipelines.perturbations.zero_width import ZeroWidth

PERTURBATIONS: Mapping[str, type[Perturbation]] = {
    "homoglyph": Homoglyph,
    "leetspeak": Leetspeak,
    "spacing": Spacing,
    "zero_width": ZeroWidth,
    "punycode": Punycode,
    "typos": Typos,
    "han_variants": HanVariants,
}

__all__ = [
    "PERTURBATIONS",
    "HanVariants",
    "Homoglyph",
    "Leetspeak",
    "Perturbation",
    "Punycode",
    "Spacing",
    "Typos",
    "ZeroWidth",
    "disguised",
]
