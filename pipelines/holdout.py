"""Which labelled events of the lake are set aside for the gates: one rule for both sides.

Training leaves these rows out and gates judge on them. The rule looks at the text alone, so the
choice is the same on every day, for every model, and when more labels arrive; copies of one
message that differ in digits, punctuation, case or white space fall on one side.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data_contracts.labels import LabelledEvent
from pipelines.near_duplicates import group_related, normalised

HELD_OUT_SHARE = 0.2
_NOT_LETTERS = re.compile(r"[\W\d_]+")


def is_held_out(text: str, share: float = HELD_OUT_SHARE) -> bool:
    """Whether a text belongs to the gates: true for about `share` of all messages.

    >>> is_held_out("Win 100 pounds now!") == is_held_out("win 250  POUNDS, now")
    True
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is outside [0, 1]; it is a share of the messages")
    plain = normalised(text)
    key = _NOT_LETTERS.sub("", plain) or plain
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * 2**64


def held_out(rows: Sequence[LabelledEvent], share: float = HELD_OUT_SHARE) -> NDArray[np.bool_]:
    """bool[n]: the rows that training leaves out."""
    return np.array([is_held_out(row.event.text, share) for row in rows], dtype=bool)


def judged(rows: Sequence[LabelledEvent], share: float = HELD_OUT_SHARE) -> NDArray[np.bool_]:
    """bool[n]: the held-out rows that no training row resembles or shares its group with.

    The few near-duplicates that stand on both sides of the rule stay out of the suite.
    """
    held = held_out(rows, share)
    groups = group_related(rows)
    return held & ~np.isin(groups, groups[~held])
