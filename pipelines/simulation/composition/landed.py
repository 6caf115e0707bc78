"""`compose`: composed traffic lands like a replay's, with its media, actions and truth.

`{home}/landing/day=/composed.jsonl` has the events, `actions/composed.jsonl` beside it the
activity log, the media root the files, and `{home}/truth` what only the demo oracle reads. The
same configuration and files give the same bytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.actions import Action
from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from pipelines import landing
from pipelines.days import is_day
from pipelines.simulation.composition.composing import DATASET, Composition, Plan, compose
from pipelines.simulation.composition.recipes import HELD_OUT, TRAINING
from pipelines.simulation.composition.sources import read_sources
from pipelines.simulation.replay import TRUTH

AFTER_REPLAY = timedelta(days=28)  # from the replay's first day to ours, where none is given

Item = TypeVar("Item", LabelledEvent, Action)


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """The verb `compose`. `--held-out` adds the recipes that training does not see."""
    if arguments.events < 1:
        raise BadInput(f"--events {arguments.events} is no number of events; give 1 or more")
    plan = Plan(
        events=arguments.events,
        recipes=TRAINING + HELD_OUT if arguments.held_out else TRAINING,
        first_day=_first_day(arguments.first_day, settings),
    )
    sources = read_sources(settings.data, settings.cache, _say)
    composition = compose(sources, plan, np.random.default_rng(settings.traffic.seed), _say)
    days = land(composition, settings.home, settings.media_root)
    spam = sum(label == "spam" for label in composition.labels.values())
    return {
        "days": days,
        "events": len(composition.events),
        "spam": spam,
        "actions": len(composition.actions),
        "media": len(composition.media),
        "recipes": sorted(set(composition.recipes.values())),
        "synthetic": sorted(composition.synthetic),
    }


def land(composition: Composition, home: Path, media_root: Path) -> list[str]:
    """Write everything; the days on which events land.

    BadInput, with nothing written, where a day has the truth of other traffic.
    """
    events = _by_day(composition.labelled(), lambda row: row.event.occurred_at)
    for day in events:
        _refuse_foreign_truth(home, day)
    composition.write_media(media_root)
    for day, rows in events.items():
        _write_truth(home, day, rows)
        lines = b"".join(_event_line(row.event) for row in rows)
        write_atomically(landing.folder(home, day) / f"{DATASET}.jsonl", lines)
    for day, actions in _by_day(composition.actions, lambda action: action.at).items():
        lines = b"".join(_action_line(action) for action in actions)
        write_atomically(landing.action_folder(home, day) / f"{DATASET}.jsonl", lines)
    return sorted(events)


def _first_day(named: str | None, settings: Settings) -> str:
    if named is not None and not is_day(named):
        raise BadInput(f"--first-day {named!r} is no day; write YYYY-MM-DD")
    replayed = datetime.fromisoformat(settings.traffic.first_day).replace(tzinfo=UTC)
    return named or (replayed + AFTER_REPLAY).date().isoformat()


def _refuse_foreign_truth(home: Path, day: str) -> None:
    path = home / "truth" / f"day={day}.parquet"
    if path.is_file() and set(pq.read_table(path)["dataset"].to_pylist()) - {DATASET}:
        raise BadInput(f"{path} is the truth of a replay; give another --first-day")


def _write_truth(home: Path, day: str, rows: Iterable[LabelledEvent]) -> None:
    table = pa.Table.from_pylist(
        [
            {
                "event_id": row.event.event_id,
                "label": row.label,
                "dataset": DATASET,
                "group": int(str(row.group).rpartition("-")[2]),
                "original_time": None,
            }
            for row in rows
        ],
        schema=TRUTH,
    )
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    write_atomically(home / "truth" / f"day={day}.parquet", buffer.getvalue().to_pybytes())


def _by_day(
    items: Iterable[Item], time: Callable[[Item], datetime | None]
) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        at = time(item)
        if at is not None:
            found[at.date().isoformat()].append(item)
    return found


def _event_line(event: Event) -> bytes:
    fields = event.model_dump(mode="json", exclude_defaults=True)
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _action_line(action: Action) -> bytes:
    return orjson.dumps(dataclasses.asdict(action), option=orjson.OPT_APPEND_NEWLINE)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
