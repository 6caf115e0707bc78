"""Decided appeals as labels of the lake: `ham` where overturned, `spam` where upheld.

Who appeals chose to, so an appeal's label has no inclusion probability, and no unbiased estimate
counts it. One case apart: it corrects an event that was drawn and labelled before. There the label
keeps the draw's chance and strategy, for the latest label of an event counts, and an event that
left the audit because it was appealed would bias it. A draw whose own label is still awaited is
not answered by an appeal: it came because of the action, and not by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from sqlalchemy import Engine, inspect, select

from data_contracts.labels import Label
from pipelines import lake
from pipelines.labelling.appeal_tables import APPEALS, PENDING_EFFECTS
from pipelines.state import reading

SOURCE = STRATEGY = "appeal"


def appeal_labels(engine: Engine, day: str | None = None) -> list[Label]:
    """The labels of appeals that people decided about events of a day of the lake (None: all)."""
    query = (
        select(APPEALS)
        .join_from(APPEALS, PENDING_EFFECTS)
        .where(PENDING_EFFECTS.c.effect == "label", APPEALS.c.day.is_not(None))
        .order_by(APPEALS.c.event_id, APPEALS.c.closed_at)
    )
    if day is not None:
        query = query.where(APPEALS.c.day == day)
    with reading(engine) as connection:
        if not inspect(connection).has_table(APPEALS.name):
            return []
        rows = connection.execute(query).mappings().all()
    return [
        Label(
            event_id=row["event_id"],
            label="ham" if row["state"] == "overturned" else "spam",
            source=SOURCE,
            reviewer=row["reviewer"],
            strategy=STRATEGY,
            inclusion_probability=None,
            observed_at=row["closed_at"],
            batch=f"{row['day']}/appeals/{row['reviewer']}",
        )
        for row in rows
    ]


def days_of_appeals(engine: Engine) -> list[str]:
    """The lake's days that have such labels, in order."""
    return sorted({label.batch.partition("/")[0] for label in appeal_labels(engine)})


def with_appeals(labels: Iterable[Label], appealed: Iterable[Label]) -> list[Label]:
    """A day's labels and those of its appeals, in order of event and reviewer."""
    given = list(labels)
    chance_last = sorted(given, key=lambda one: one.inclusion_probability is not None)
    drawn = {one.event_id: one for one in chance_last}
    corrected = [
        replace(one, strategy=draw.strategy, inclusion_probability=draw.inclusion_probability)
        if (draw := drawn.get(one.event_id))
        else one
        for one in appealed
    ]
    return sorted([*given, *corrected], key=lambda one: (one.event_id, one.reviewer))


def add_to_lake(folder: Path, day: str, appealed: Sequence[Label]) -> bool:
    """Put them beside what the lake has of that day; True where it changed. Again changes nothing.

    `collect-labels` writes the same rows when it writes the day anew.
    """
    with lake.only_writer(folder):
        stored = lake.read(folder, "labels", [day]).to_pylist()
        others = [Label(**row) for row in stored if row["source"] != SOURCE]
        records = [asdict(label) for label in with_appeals(others, appealed)]
        return lake.write(folder, "labels", day, lake.rows("labels", records))
