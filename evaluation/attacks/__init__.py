"""What a spammer does to a text so that a filter misreads it and a person does not.

Each attack is one file and one line in `ATTACKS`; all are seeded, and all leave links and
numbers alone, since a spammer whose link is broken earns nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from evaluation.attacks.base import Attack
from evaluation.attacks.homoglyph import Homoglyph
from evaluation.attacks.leetspeak import Leetspeak
from evaluation.attacks.spacing import Spacing

ATTACKS: Mapping[str, type[Attack]] = {
    "homoglyph": Homoglyph,
    "leetspeak": Leetspeak,
    "spacing": Spacing,
}

__all__ = ["ATTACKS", "Attack", "Homoglyph", "Leetspeak", "Spacing"]
