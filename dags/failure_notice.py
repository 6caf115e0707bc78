"""A task that failed for good tells people: the cause, the last lines, and what to do next.

Every notice is one JSON line in `{home}/reports/failure_notices.jsonl` and one line in the
task's log. Another channel (a webhook, a pager) is one more function in `CHANNELS`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from data_contracts.config import load_settings

NOTICES = "failure_notices.jsonl"
LOST = "Airflow lost the task: its process ended, or its time was up, without a word"
Notice = Mapping[str, Any]


def notify_failure(context: Mapping[str, Any]) -> None:
    """Airflow's `on_failure_callback`; a channel that fails is logged and stops no other."""
    notice = _notice(context)
    for channel in CHANNELS:
        try:
            channel(notice)
        except Exception:
            logging.getLogger(__name__).exception("failure notice: %s failed", channel.__name__)


def write_to_log(notice: Notice) -> None:
    logging.getLogger(__name__).error(
        "FAILED %s.%s: %s | next: %s",
        notice["dag"],
        notice["task"],
        notice["cause"],
        notice["next"],
    )


def append_to_file(notice: Notice) -> None:
    """One write of one line: two tasks that fail at once do not mix their notices."""
    path = load_settings().reports / NOTICES
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(notice, ensure_ascii=False) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


CHANNELS: tuple[Callable[[Notice], None], ...] = (write_to_log, append_to_file)


def _notice(context: Mapping[str, Any]) -> dict[str, Any]:
    instance, task = context["ti"], context.get("task") or context["ti"].task
    cause = str(context.get("exception") or LOST).partition("\n")[0]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "dag": instance.dag_id,
        "run": instance.run_id,
        "task": instance.task_id,
        "attempt": instance.try_number,
        "cause": cause,
        "last_lines": list(getattr(task, "last_lines", ())),
        "next": getattr(task, "when_it_fails", "open the task's log in Airflow"),
        "command": getattr(task, "shown_command", ""),
    }
