"""The campaigns that monitoring saw, by their centres: one that goes on keeps its name.

A file in the home, `{"encoder", "campaigns": [{"id", "first", "last", "expected", "centre"}]}`.
The sampling of a day so far learns from it what to show to reviewers. It holds no word that a user
wrote. Deleting it is safe: campaigns get other names, and alerts of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
REGISTRY = "campaigns.json"


@dataclass(frozen=True, eq=False)
class KnownCampaign:
    """`expected`: how many senders a window had of it before it began; `centre: float32[d]`."""

    id: str
    first: datetime
    last: datetime
    expected: float
    centre: Vectors


def registry_of(home: Path) -> Path:
    """Where the campaigns of a home are kept."""
    return home / "state" / REGISTRY


class KnownCampaigns:
    """Read from `path`; what another encoder saw cannot be compared and is forgotten."""

    def __init__(self, path: Path, encoder: str) -> None:
        self._path, self._encoder = path, encoder
        self._campaigns = {one.id: one for one in _read(path, encoder)}

    def seen_since(self, at: datetime) -> list[KnownCampaign]:
        """Those that were seen at `at` or later, the newest first."""
        found = [one for one in self._campaigns.values() if one.last >= at]
        return sorted(found, key=lambda one: (one.last, one.id), reverse=True)

    def same(self, centre: Vectors) -> KnownCampaign | None:
        """The known campaign whose centre is nearest to this unit vector, if it is the same."""
        near = max(self._campaigns.values(), key=lambda one: _cosine(one, centre), default=None)
        return near if near is not None and _cosine(near, centre) >= SAME else None

    def see(self, new: KnownCampaign) -> KnownCampaign:
        """It is there: the known one with this centre, seen last at `new.last`, or else `new`."""
        known = self.same(new.centre)
        seen = new if known is None else replace(known, last=new.last, centre=new.centre)
        self._campaigns[seen.id] = seen
        return seen

    def save(self, now: datetime) -> None:
        """Write what was seen within KEPT."""
        content = {
            "encoder": self._encoder,
            "campaigns": [_record(one) for one in self.seen_since(now - KEPT)],
        }
        write_atomically(self._path, orjson.dumps(content))


def centres(known: Sequence[KnownCampaign]) -> Vectors:
    """float32[n, d]"""
    return np.stack([one.centre for one in known]) if known else np.empty((0, 0), np.float32)


def _cosine(known: KnownCampaign, centre: Vectors) -> float:
    return float(np.dot(known.centre, centre))


def _record(one: KnownCampaign) -> dict[str, object]:
    return {
        "id": one.id, "first": one.first.isoformat(), "last": one.last.isoformat(),
        "expected": one.expected, "centre": np.round(one.centre.astype(float), DECIMALS).tolist(),
    }  # fmt: skip


def _campaign(record: Mapping[str, Any]) -> KnownCampaign:
    first, last = (datetime.fromisoformat(record[name]) for name in ("first", "last"))
    centre = np.array(record["centre"], np.float32)
    return KnownCampaign(str(record["id"]), first, last, float(record["expected"]), centre)


def _read(path: Path, encoder: str) -> list[KnownCampaign]:
    try:
        content = orjson.loads(path.read_bytes())
        if content["encoder"] != encoder:
            return []
        return [_campaign(one) for one in content["campaigns"]]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return []
