"""The campaigns that were seen, by their centres: one that goes on keeps its name.

A file in the home, `{"encoder", "campaigns": [{"id", "first", "last", "centre"}]}`. It holds no
word that a user wrote. Deleting it is safe: campaigns get other names, and alerts of their own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from data_contracts.files import write_atomically
from pipelines.neighbours import Vectors

SAME = 0.65  # cosine of two centres that are one campaign
KEPT = timedelta(days=30)
DECIMALS = 4


class KnownCampaigns:
    """Read from `path`; what another encoder saw cannot be compared and is forgotten."""

    def __init__(self, path: Path, encoder: str) -> None:
        self._path, self._encoder = path, encoder
        self._campaigns = _read(path, encoder)
        self._changed = False

    def id_of(self, centre: Vectors, new_id: str, now: datetime) -> str:
        """The id of the known campaign whose centre is nearest, if it is the same; else `new_id`.

        `centre: float32[d]` of unit length takes the place of the one that was known.
        """
        known = max(
            self._campaigns,
            key=lambda one: float(np.dot(one["centre"], centre)),
            default=None,
        )
        if known is None or float(np.dot(known["centre"], centre)) < SAME:
            known = {"id": new_id, "first": now.isoformat()}
            self._campaigns.append(known)
        known |= {"last": now.isoformat(), "centre": np.round(centre, DECIMALS).tolist()}
        self._changed = True
        return str(known["id"])

    def save(self, now: datetime) -> None:
        """Write what was seen within KEPT, where anything changed."""
        if not self._changed:
            return
        since = (now - KEPT).isoformat()
        kept = [one for one in self._campaigns if one["last"] >= since]
        content = {"encoder": self._encoder, "campaigns": kept}
        write_atomically(self._path, orjson.dumps(content))


def _read(path: Path, encoder: str) -> list[dict[str, Any]]:
    try:
        content = orjson.loads(path.read_bytes())
        return list(content["campaigns"]) if content["encoder"] == encoder else []
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return []
