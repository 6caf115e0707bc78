"""Finished labels go from the queue to the lake: `labels/day=` of the event's day.

Queue and decided appeals are the sources and a day is written whole, so a crash in between loses
nothing, running again adds nothing, and labels that were taken back leave the lake.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from data_contracts.config import Settings
from data_contracts.errors import NothingToDo
from pipelines import lake
from pipelines.days import PENDING, days_to_do
from pipelines.labelling.appeal_labels import appeal_labels, days_of_appeals, with_appeals
from pipelines.labelling.queue import open_label_queue
from pipelines.state import open_state


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """`python -m pipelines collect-labels`: every day with labels the lake lacks, or one day.

    `labels` counts by how many the lake grew (below 0 where a batch was taken back), `total`
    all labels of these days. Raises NothingToDo where the lake has it all.
    """
    queue = open_label_queue(settings.state_url, settings.labelling.lease_seconds)
    progress, appeals = queue.progress(), open_state(settings.state_url)
    appealed = set(days_of_appeals(appeals))
    days = days_to_do(
        arguments.day,
        sorted({*progress, *appealed}),
        lambda day: (
            day not in appealed
            and progress[day]["labelled"] == 0
            and not lake.has(settings.lake, "labels", day)
        ),
        where="the label queue and appeals",
    )
    written, new, total = [], 0, 0
    for day in days:
        labels = with_appeals(queue.labels(day), appeal_labels(appeals, day))
        records = [asdict(label) for label in labels]
        if not records and not lake.has(settings.lake, "labels", day):
            continue
        before = lake.read(settings.lake, "labels", [day]).num_rows
        changed = lake.write(settings.lake, "labels", day, lake.rows("labels", records))
        if changed or arguments.day != PENDING:
            written.append(day)
            new, total = new + len(records) - before, total + len(records)
    if not written:
        raise NothingToDo(f"no new labels: {len(days)} days of the queue are in the lake already")
    return {"days": written, "labels": new, "total": total}
