"""The hourly report (`python -m evaluation monitor`) as the status page needs it.

It is read whole and checked here: one that lacks what the page shows is a source that cannot be
read, and nothing is shown of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from data_contracts.errors import BadInput

FAILED = re.compile(r" failed(:| with )")  # as evaluation.monitoring.raised says it of a part
QUALITY = {
    "precision": "precision",
    "recall": "recall",
    "false_positive_rate": "false positives",
}


@dataclass(frozen=True)
class Estimate:
    """A share with its interval, all None where `of` cases are too few to say."""

    value: float | None
    low: float | None
    high: float | None
    of: int


@dataclass(frozen=True)
class Hour:
    """What was measured from `start` to `end`; None: not measured.

    `quality` is that of `version`, of which most audit labels speak. `failed` are parts of
    monitoring that did not run, `gaps` what else could not be judged.
    """

    start: datetime
    end: datetime
    decisions: int
    acted_upon: Estimate | None
    failed_requests: Estimate | None
    latency_p95_milliseconds: float | None
    version: str | None
    quality: Mapping[str, Estimate]
    alarms: tuple[str, ...]
    failed: tuple[str, ...]
    gaps: tuple[str, ...]


def read_hour(path: Path) -> Hour | None:
    """None where there is no report yet. Raises BadInput for one that is none."""
    if not path.is_file():
        return None
    try:
        return hour_of(orjson.loads(path.read_bytes()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(
            f"{path.name} is no hourly report ({type(error).__name__}: {error}); "
            "`python -m evaluation monitor` writes it anew"
        ) from None


def hour_of(report: Mapping[str, Any]) -> Hour:
    """KeyError, TypeError, ValueError for what is no report."""
    live, errors, gaps = report["traffic"], report["errors"] or {}, list(map(str, report["gaps"]))
    stable = live["arms"].get("stable") or {}
    latency = (stable.get("latency_ms") or {}).get("p95")
    version, quality = _most_labelled(report["quality"]["versions"])
    return Hour(
        start=datetime.fromisoformat(report["window"]["start"]),
        end=datetime.fromisoformat(report["window"]["end"]),
        decisions=int(live["decisions"]),
        acted_upon=_estimate(live["positive_rate"]),
        failed_requests=_estimate(errors.get("share")),
        latency_p95_milliseconds=None if latency is None else float(latency),
        version=version,
        quality=quality,
        alarms=tuple(map(str, report["alarms"])),
        failed=tuple(gap for gap in gaps if FAILED.search(gap)),
        gaps=tuple(gap for gap in gaps if not FAILED.search(gap)),
    )


def _most_labelled(
    versions: Mapping[str, Mapping[str, Any]],
) -> tuple[str | None, dict[str, Estimate]]:
    if not versions:
        return None, {}
    version = max(versions, key=lambda name: (int(versions[name]["audit_labels"]), name))
    found = {name: _estimate(versions[version][name]) for name in QUALITY}
    return version, {name: one for name, one in found.items() if one is not None}


def _estimate(found: Mapping[str, Any] | None) -> Estimate | None:
    if found is None:
        return None
    of = int(found.get("of", 0))
    if found["value"] is None:
        return Estimate(None, None, None, of)
    return Estimate(float(found["value"]), float(found["low"]), float(found["high"]), of)
