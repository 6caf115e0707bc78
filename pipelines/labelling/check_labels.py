"""The daily step between review and collection: doubtful batches go into quarantine.

Only batches without a verdict are doubted: what a person accepted again, giving a reason, stays
accepted.
Answers of the days before teach the held-back model and are not judged again.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from data_contracts.alerts import Alert
from data_contracts.config import Settings
from data_contracts.errors import NothingToDo
from data_contracts.files import write_atomically
from pipelines import alert_inbox, lake
from pipelines.configured_encoder import encoder_file, encoder_version
from pipelines.days import PENDING, days_to_do
from pipelines.features.text.embedding_cache import CachedEncoder
from pipelines.features.text.encoder import TextEncoder
from pipelines.features.text.token_encoder import encoder_of
from pipelines.labelling.held_back_model import TextModel
from pipelines.labelling.label_evidence import Answered, Judgement
from pipelines.labelling.poisoning import SIGNIFICANCE, judge
from pipelines.labelling.poisoning_alerts import poisoning_alerts
from pipelines.labelling.queue import Answer, LabelQueue, open_label_queue
from pipelines.labelling.queue_tables import ADJUDICATION
from pipelines.near_duplicates import group_near_duplicates
from pipelines.neighbours import clusters
from pipelines.state import open_state

BY = "check-labels"
REPORTS = "label-checks"
DAYS_BEFORE = 3  # whose answers bear witness as well
CLUSTER_SIZE = 40  # answers in a cluster of alike texts, on average
SHOWN_FINDINGS = 5
SEED = 20_260_105
MOST_ANSWERS = 6000  # one linear solve grows with the cube; the newest days are kept


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """`python -m pipelines check-labels`: every day whose answers changed, or one day.

    The evidence of every batch is in `{reports}/label-checks/day=….json`. Raises NothingToDo
    where no day has answers that were not checked. Incident response hears of a quarantine.
    """
    queue = open_label_queue(settings.state_url, settings.labelling.lease_seconds)
    days = days_to_do(
        arguments.day, list(queue.progress()), lambda _: False, where="the label queue"
    )
    file = encoder_file(settings.data, settings.cache)
    version = encoder_version(settings.data, settings.cache)
    checked = {}
    with CachedEncoder(encoder_of(file), settings.cache / "embeddings", version) as encoder:
        for day in days:
            judgements = check_day(queue, day, settings, encoder, datetime.now(UTC))
            if judgements is not None:
                checked[day] = judgements
                _tell(settings.state_url, poisoning_alerts(day, judgements, datetime.now(UTC)))
    if not checked and arguments.day == PENDING:
        raise NothingToDo(f"no new answers: {len(days)} days of the queue were checked before")
    judged = [one for judgements in checked.values() for one in judgements]
    return {
        "days": list(checked),
        "batches": len(judged),
        "quarantined": [
            {"batch": one.batch, "reason": one.reason} for one in judged if one.quarantine
        ],
        "without_witness": [one.batch for one in judged if not one.findings],
        "reports": str(settings.reports / REPORTS),
    }


def _tell(state_url: str, alerts: Sequence[Alert]) -> None:
    if not alerts:
        return
    engine = open_state(state_url)
    try:
        alert_inbox.prepare(engine)
        alert_inbox.put(engine, alerts, alerts[0].at)
    finally:
        engine.dispose()


def check_day(
    queue: LabelQueue, day: str, settings: Settings, encoder: TextEncoder, now: datetime
) -> list[Judgement] | None:
    """Judge a day's batches and quarantine what is beyond chance; None where nothing changed."""
    states = {one.batch: one for one in queue.batches()}

    def accepted(of: str) -> list[Answer]:
        return [one for one in queue.answers(of) if states[one.batch].state == "accepted"]

    answers = accepted(day)
    path = settings.reports / REPORTS / f"day={day}.json"
    if path.is_file() and orjson.loads(path.read_bytes())["answers_sha256"] == _digest(answers):
        return None
    judged = {one.batch for one in answers if not states[one.batch].reason}
    before = [known for known in queue.progress() if known < day][-DAYS_BEFORE:]
    witnesses = [answer for known in reversed(before) for answer in accepted(known)]
    room = max(MOST_ANSWERS - len(answers), 0)
    judgements = judge_answers([*answers, *witnesses[:room]], judged, settings.lake, encoder)
    for one in judgements:
        if one.quarantine:
            queue.set_batch_state(one.batch, "quarantined", one.reason, BY, now)
    accused = {one.batch for one in judgements if one.quarantine}
    kept = _digest([answer for answer in answers if answer.batch not in accused])
    write_atomically(path, _report(day, judgements, kept, now))
    return judgements


def judge_answers(
    answers: Sequence[Answer], judged: Collection[str], folder: Path, encoder: TextEncoder
) -> list[Judgement]:
    """Judge batches by these answers and the texts of their events in the lake `folder`.

    An event that the lake lacks (it was erased) bears no witness, unless it is a gold question.
    """
    days = sorted({answer.day for answer in answers})
    stored = lake.read(folder, "events", days, ["event_id", "text"]).to_pylist()
    wanted = {answer.event_id for answer in answers if answer.gold is None}
    texts = {row["event_id"]: row["text"] for row in stored if row["event_id"] in wanted}
    heard = [one for one in answers if one.gold is not None or one.event_id in texts]
    if not heard:
        return [Judgement(batch, False, ()) for batch in sorted(judged)]
    embeddings = np.array([encoder.encode(text) for text in texts.values()], dtype=np.float32)
    embeddings = embeddings.reshape(len(texts), -1)
    model = TextModel(list(texts.values()), embeddings)
    return judge(as_columns(heard, texts, embeddings), model, judged, _rng)


def as_columns(
    answers: Sequence[Answer], texts: Mapping[str, str], embeddings: NDArray[np.float32]
) -> Answered:
    """Answers as columns; `texts` by event, in the order of `embeddings: float32[n, d]`."""
    row_of = {event: row for row, event in enumerate(texts)}
    rows = np.array([row_of.get(one.event_id, -1) for one in answers], dtype=np.int64)
    groups, alike = group_near_duplicates(list(texts.values())), _clusters(embeddings)
    known = {None: -1, "ham": 0, "spam": 1}
    return Answered(
        batches=np.array([one.batch for one in answers]),
        reviewers=np.array([one.reviewer for one in answers]),
        events=np.array([one.event_id for one in answers]),
        spam=np.array([one.label == "spam" for one in answers]),
        gold=np.array([known[one.gold] for one in answers], dtype=np.int8),
        settles=np.array([one.source == ADJUDICATION for one in answers]),
        groups=np.append(groups, -1)[rows],
        clusters=np.append(alike, -1)[rows],
        texts=rows,
    )


def _clusters(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    count = max(len(embeddings) // CLUSTER_SIZE, 1)
    return clusters(embeddings, count, SEED)[1] if len(embeddings) else np.empty(0, np.int64)


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def _digest(answers: Sequence[Answer]) -> str:
    said = sorted([one.task_id, one.reviewer, one.label, one.batch] for one in answers)
    return hashlib.sha256(orjson.dumps(said)).hexdigest()


def _report(day: str, judgements: Sequence[Judgement], digest: str, now: datetime) -> bytes:
    batches = [
        {
            "batch": one.batch,
            "quarantined": one.quarantine,
            "reason": one.reason,
            "tests": len(one.findings),
            "findings": [asdict(finding) for finding in one.findings[:SHOWN_FINDINGS]],
        }
        for one in judgements
    ]
    report = {
        "day": day,
        "checked_at": now.isoformat(),
        "significance": SIGNIFICANCE,
        "correction": "Holm, over all tests of the day",
        "answers_sha256": digest,
        "batches": batches,
    }
    return orjson.dumps(report, option=orjson.OPT_INDENT_2)
