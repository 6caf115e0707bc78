"""False alarms of the campaign detection on real traffic in order of time, in which nothing is new.

The ham of each set in the order in which it was collected (its own times where it has them), cut
into windows of one size; each window against at most as many windows before it as the monitor
looks at, with as long a gap. Campaigns that real spam holds are found in the same way in the whole
of the sets; nobody labelled those, so they are only counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from data_contracts.config import Settings
from data_contracts.labels import LabelledEvent
from evaluation.monitoring.campaign_groups import FEWEST_BEFORE, growing
from evaluation.monitoring.campaign_posts import Post
from evaluation.monitoring.campaigns import GUARD_WINDOWS, WINDOWS_BEFORE
from pipelines.catalogue import read_labelled
from pipelines.features.text.normalisation import readable
from pipelines.labelling.event_features import FrozenEncoder

SETS = ("text_sms_spam_uci", "text_sms_turkish", "text_youtube_spam", "text_telegram_chinese")
SIZES = (50, 100, 300)  # posts of a window
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def quiet_windows(settings: Settings) -> list[dict[str, Any]]:
    """For each set and size: windows, and those with an alert, of ham alone and of everything."""
    encoder, rows = FrozenEncoder(settings.data, settings.cache), []
    for name in SETS:
        events = read_labelled(name, settings.data, settings.cache)
        for labels in (("ham",), ("ham", "spam")):
            posts = _posts([row for row in events if row.label in labels])
            vectors = np.array(encoder.embed([readable(one.text) for one in posts]), np.float32)
            rows += [
                {"dataset": name, "labels": "+".join(labels), "posts_a_window": size}
                | alarmed(posts, vectors, size)
                for size in SIZES
            ]
    return rows


def alarmed(posts: Sequence[Post], vectors: np.ndarray, size: int) -> dict[str, int]:
    """How many windows of `size` posts there are, and in how many something is found."""
    starts = range(FEWEST_BEFORE + GUARD_WINDOWS * size, len(posts) - size + 1, size)
    found = 0
    for start in starts:
        last = start - GUARD_WINDOWS * size
        first = max(0, last - WINDOWS_BEFORE * size)
        now, before = slice(start, start + size), slice(first, last)
        found += bool(growing(posts[now], posts[before], vectors[now], vectors[before]))
    return {"windows": len(starts), "alarmed": found}


def _posts(rows: Sequence[LabelledEvent]) -> list[Post]:
    ordered = sorted(rows, key=lambda row: row.event.occurred_at or EPOCH)  # stable: else as read
    return [
        Post(row.event.event_id, row.event.text, row.group, True, EPOCH) for row in ordered
    ]  # fmt: skip
