"""What lies in the home: the newest answers, the lake, the pages of others.

Read are ends of files, footers and names, never a whole day: how much traffic there was makes no
difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.config import Settings
from data_contracts.tables import partition
from pipelines import lake
from serving.status_page.facts import Answering, Day, Files

NEWEST_RECORDS = 16  # files of decision records, of which the ends are read
END_BYTES = 131_072  # of such a file: some dozens of records
QUARANTINE_DAYS = 7
MOST_PAGES = 8  # of a kind
POST_MORTEM = "post-mortem.md"
LMDB = "features/data.mdb"  # as `pipelines.feature_store.opening` has it, which loads for seconds
ARMS = ("stable", "baseline", "canary")
PAGES = {  # kind of page: where under `reports`
    "hourly report": "monitoring/latest.html",
    "rollouts": "rollout/version=*.html",
    "model cards and gate reports": "gates/*/model_card.html",
    "post-mortems": f"incidents/*/{POST_MORTEM}",
    "samples": "sampling/day=*.html",
}


def read_files(settings: Settings) -> Files:
    """Errors of files that are there and cannot be read pass through."""
    reports, folder = settings.reports, settings.lake
    days = lake.days(folder, "events")
    return Files(
        answering=answering(settings.home / "decisions"),
        newest_day=days[-1] if days else None,
        lake_written=_written(folder, days[-1]) if days else None,
        newest_label=_newest_label(folder),
        newest_feature=_newest_feature(settings),
        quarantined=tuple(_quarantined(folder)),
        pages={kind: pages_of(reports, pattern) for kind, pattern in PAGES.items()},
        drafted=frozenset(_drafted(reports)),
    )


def answering(decisions: Path) -> tuple[Answering, ...]:
    """The newest answer to users of every arm, by what the servers wrote."""
    newest: dict[str, Answering] = {}
    for path in _newest_first(list(decisions.glob("*.jsonl")))[:NEWEST_RECORDS]:
        for line in _last_lines(path):
            one = _answer(line)
            if one is not None and (one.arm not in newest or newest[one.arm].at <= one.at):
                newest[one.arm] = one
    return tuple(newest[arm] for arm in ARMS if arm in newest)


def pages_of(reports: Path, pattern: str) -> tuple[str, ...]:
    """Paths below `reports`, newest first."""
    found = _newest_first([path for path in reports.glob(pattern) if path.is_file()])
    return tuple(path.relative_to(reports).as_posix() for path in found[:MOST_PAGES])


def _newest_first(paths: Sequence[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: (path.stat().st_mtime, path.name), reverse=True)


def _last_lines(path: Path) -> list[bytes]:
    """Complete lines at the end of a file that may still be written to."""
    with path.open("rb") as file:
        start = max(os.fstat(file.fileno()).st_size - END_BYTES, 0)
        file.seek(start)
        lines = file.read(END_BYTES).split(b"\n")[:-1]
    return lines[1:] if start else lines


def _answer(line: bytes) -> Answering | None:
    """None for copies, and for what is no record."""
    try:
        record = orjson.loads(line)
        verdict, at = record["verdict"], datetime.fromisoformat(record["decided_at"])
        if record["mirrored"] or verdict["arm"] not in ARMS:
            return None
        return Answering(
            verdict["arm"], verdict["model_version"], verdict["threshold_version"],
            at if at.tzinfo else at.replace(tzinfo=UTC),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError):
        return None


def _written(folder: Path, day: str) -> datetime:
    return datetime.fromtimestamp((partition(folder, "events", day) / lake.PART).stat().st_mtime,
                                  UTC)  # fmt: skip


def _newest_label(folder: Path) -> datetime | None:
    days = lake.days(folder, "labels")[-1:]
    found = pc.max(lake.read(folder, "labels", days, ["observed_at"])["observed_at"]).as_py()
    return found if isinstance(found, datetime) else None


def _newest_feature(settings: Settings) -> datetime | None:
    """None where there is no store, or an empty one."""
    ours = settings.feature_store
    unused = ours.engine == "lmdb" and not (settings.home / LMDB).is_file()
    if ours.engine == "none" or unused:
        return None
    from pipelines.feature_store.freshness import newest_event
    from pipelines.feature_store.opening import open_states

    with open_states(ours, settings.home) as states:
        return newest_event(states)


def _quarantined(folder: Path) -> Iterator[Day]:
    for day in lake.days(folder, "quarantine")[-QUARANTINE_DAYS:]:
        rows = int(pq.read_metadata(partition(folder, "quarantine", day) / lake.PART).num_rows)
        if rows:
            yield Day(day, rows)


def _drafted(reports: Path) -> Iterator[int]:
    for path in reports.glob(f"incidents/*/{POST_MORTEM}"):
        if re.fullmatch(r"\d+", path.parent.name):
            yield int(path.parent.name)
