"""What the game day runs on: a champion, a bad release, and the messages of the clients.

Trained once and kept in the cache of the home: two trainings take longer than the day itself. The
bad release learns from rows whose Turkish ham is labelled spam, as a poisoned source would have it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

import orjson

from data_contracts.config import Settings
from data_contracts.events import Event
from data_contracts.files import write_atomically
from data_contracts.labels import LabelledEvent
from infra.local.commands import call
from pipelines.catalogue import read_labelled
from tests.performance import game_day_sets as sets

FOLDER = "game-day"
CHAMPION, FLIPPED = "champion", "flipped"
OTHER_SET = "text_sms_multilingual_de"  # of people who begin to post here


@dataclass(frozen=True)
class Material:
    """`models` holds CHAMPION and FLIPPED, each beside the JSON of its training."""

    models: Path
    traffic: Path
    trained_now: bool


def material(settings: Settings, say: Callable[[str], None]) -> Material:
    """From the cache, or made now."""
    folder = settings.cache / FOLDER
    traffic = folder / "traffic.jsonl"
    missing = [name for name in (CHAMPION, FLIPPED) if not (folder / f"{name}.json").is_file()]
    if not missing and traffic.is_file():
        return Material(folder, traffic, trained_now=False)
    folder.mkdir(parents=True, exist_ok=True)
    learnt, rest = sets.divided(settings)
    learnt = sets.with_past(learnt, settings)
    rows = {CHAMPION: learnt, FLIPPED: sets.with_flipped_ham(learnt)}
    for name in missing:
        say(f"training the {name} ensemble on {len(learnt)} rows")
        _train(settings, rows[name], folder, name)
    write_atomically(traffic, _pool(settings, rest))
    return Material(folder, traffic, trained_now=True)


def _train(settings: Settings, rows: Sequence[LabelledEvent], folder: Path, name: str) -> None:
    rmtree(folder / name, ignore_errors=True)
    learnt = sets.write_rows(rows, folder / f"{name}-rows.jsonl")
    done = call(
        settings, "training", "train", f"--dataset={learnt}", "--trials=0",
        f"--output={folder / name}",
    )  # fmt: skip
    learnt.unlink()
    write_atomically(folder / f"{name}.json", orjson.dumps(done))


def _pool(settings: Settings, rest: Sequence[LabelledEvent]) -> bytes:
    """A line a message: its event, what it is, and of which kind it counts."""
    found = [_line(row.label, row.event, row.dataset, is_spam=row.is_spam) for row in rest]
    found += [
        _line("campaign", event, sets.CAMPAIGN_SET, is_spam=True)
        for event in sets.campaign(settings)
    ]
    other = read_labelled(OTHER_SET, settings.data, settings.cache)
    found += [
        _line("other", _carrying(row, rest[at % len(rest)].event), OTHER_SET, is_spam=False)
        for at, row in enumerate(other)
        if not row.is_spam
    ]
    return b"".join(found)


def _carrying(row: LabelledEvent, like: Event) -> Event:
    """With the account and the numbers of an ordinary message."""
    changes = {"account": like.account, "context": like.context}
    return replace(row, event=row.event.model_copy(update=changes)).event


def _line(kind: str, event: Event, dataset: str, *, is_spam: bool) -> bytes:
    fields: Mapping[str, object] = event.model_dump(mode="json", exclude_defaults=True)
    row = {"kind": kind, "is_spam": is_spam, "dataset": dataset, "event": fields}
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
