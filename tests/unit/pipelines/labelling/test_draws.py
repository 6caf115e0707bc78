"""What the audit drew is read from the queue, labelled or not."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines.labelling.draws import AuditDraw, audit_draws
from pipelines.labelling.queue import NewTask, open_label_queue
from pipelines.labelling.samplers import Draw

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_only_draws_by_chance_of_these_days_are_read(state_url: str) -> None:
    queue = open_label_queue(state_url, 60)
    first, second = "2026-01-03", "2026-01-04"
    queue.enqueue(
        [
            NewTask(Draw("b", "audit", 0.25), first),
            NewTask(Draw("a", "audit", 0.25), first),
            NewTask(Draw("chosen", "margin"), first),
            NewTask(Draw("other", "audit", 0.5), second),
        ],
        NOW,
    )
    (task,) = queue.lease("ana", 1, NOW)
    queue.submit(task.id, "ana", "spam", NOW)
    assert audit_draws(state_url, [first]) == [
        AuditDraw("a", first, 0.25), AuditDraw("b", first, 0.25),
    ]  # fmt: skip


def test_a_database_that_never_held_a_queue_has_no_draws(state_url: str) -> None:
    assert audit_draws(state_url, ["2026-01-03"]) == []
