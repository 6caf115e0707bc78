"""Which events two people label: a share of them, drawn by the event itself.

The same seed and event give the same answer on every machine and in any order, so that agreement
is measured on a random part that nobody chose.
"""

from __future__ import annotations

import hashlib


def answers_wanted(seed: int, event_id: str, share: float) -> int:
    """2 for about `share` of all events, else 1.

    >>> 270 < [answers_wanted(7, f"e{i}", 0.3) for i in range(1000)].count(2) < 330
    True
    >>> answers_wanted(7, "e1", 0.0), answers_wanted(7, "e1", 1.0)
    (1, 2)
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share {share} is outside 0 to 1; mend labelling.double_label_share")
    digest = hashlib.sha256(f"{seed}:{event_id}".encode()).digest()
    return 2 if int.from_bytes(digest[:8]) < share * 2**64 else 1
