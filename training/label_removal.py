"""`python -m training remove-batch`: a bad batch leaves queue and lake, and who learned from it.

Removal is final. Every part can be done again: what a crash left undone, the same call does.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_contracts.config import Settings
from data_contracts.errors import BadInput, MissingPart, ServiceUnavailable
from pipelines import audit_trail, lake
from pipelines.labelling.queue import LabelQueue, open_label_queue
from pipelines.state import open_state
from training import registry
from training.lineage import batches_in_tags, read_lineage, saw

REMOVED = "removed label batch"
RETRAIN = "train again: python -m training train --lake-days all --tracking"
LONGEST_CHARACTERS = 250  # what the audit trail holds of a name


@dataclass(frozen=True)
class Learner:
    """A model that saw the batch: `name` is a folder of the home or a registry URI.

    `certainly` is False where its lineage names only days and the batch has labels on one.
    """

    name: str
    certainly: bool
    aliases: tuple[str, ...] = ()


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Remove the batch everywhere and say what it touched. Raises BadInput for an unknown one."""
    batch, by, reason = (
        _given(arguments.batch, "--batch"),
        _given(arguments.by, "--by"),
        _given(arguments.reason, "--reason"),
    )
    queue = open_label_queue(settings.state_url, settings.labelling.lease_seconds)
    days = sorted({one.day for one in queue.answers() if one.batch == batch})
    now = datetime.now(UTC)
    answers = queue.set_batch_state(batch, "removed", reason, by, now)
    rewritten = [day for day in days if rewrite_day(queue, settings.lake, day)]
    recorded = _record(settings, batch, by, reason, now)
    versions, unasked = _registered(settings, batch, days)
    return {
        "batch": batch,
        "removed_before": answers == 0,
        "answers": answers,
        "days": days,
        "days_rewritten": rewritten,
        "models": [asdict(one) for one in local_models(settings.home / "models", batch, days)],
        "versions": [asdict(one) for one in versions],
        "registry": unasked or "asked",
        "recorded": recorded,
        "next": _next(versions, unasked),
    }


def rewrite_day(queue: LabelQueue, folder: Path, day: str) -> bool:
    """Write the labels of a day that the lake `folder` has as the queue now knows them.

    Whether anything changed; a day that was never collected stays so.
    """
    if not lake.has(folder, "labels", day):
        return False
    records = [asdict(label) for label in queue.labels(day)]
    return lake.write(folder, "labels", day, lake.rows("labels", records))


def local_models(folder: Path, batch: str, days: Sequence[str]) -> list[Learner]:
    """The trained models under `folder` whose lineage has the batch, by name."""
    found = []
    for path in sorted(folder.glob("*/lineage.json")):
        lineage = read_lineage(path.parent)
        seen = saw(lineage.label_batches, batch, days) if lineage else False
        if seen is not False:
            found.append(Learner(path.parent.name, seen is True))
    return found


def registered_models(
    versions: Sequence[registry.ModelVersion], batch: str, days: Sequence[str]
) -> Iterator[Learner]:
    """Those of the registry's versions whose tags have the batch, in their order."""
    for version in versions:
        seen = saw(batches_in_tags(version.tags), batch, days)
        if seen is not False:
            yield Learner(version.uri, seen is True, version.aliases)


def _registered(
    settings: Settings, batch: str, days: Sequence[str]
) -> tuple[list[Learner], str | None]:
    """The registry's versions, and why it could not be asked, if it could not."""
    try:
        versions = registry.all_versions(registry.connect(settings))
    except (ServiceUnavailable, MissingPart) as error:
        return [], f"not asked: {error}"
    return list(registered_models(versions, batch, days)), None


def _record(settings: Settings, batch: str, by: str, reason: str, at: datetime) -> bool:
    """Append to the audit trail, once a batch; whether this call did."""
    trail = open_state(settings.state_url)
    subject = f"label batch {batch}"
    if any(row.what == REMOVED for row in audit_trail.entries(trail, subject)):
        return False
    audit_trail.record(trail, by, REMOVED, subject, reason, at)
    return True


def _next(versions: Sequence[Learner], unasked: str | None) -> str:
    if unasked:
        return "ask again when MLflow answers: versions that saw the batch are not known"
    serving = [one for one in versions if one.aliases]
    if serving:
        named = ", ".join(f"{one.name} ({', '.join(one.aliases)})" for one in serving)
        return f"{RETRAIN}; until then consider rolling back {named}"
    return RETRAIN if versions else "nothing: no registered version saw the batch"


def _given(text: str, option: str) -> str:
    """The text without blanks around it; BadInput where the audit trail could not keep it."""
    if not text.strip():
        raise BadInput(f"{option} is empty; the audit trail must say it")
    if len(text) > LONGEST_CHARACTERS:
        raise BadInput(f"{option} has {len(text)} characters; keep it under {LONGEST_CHARACTERS}")
    return text.strip()
