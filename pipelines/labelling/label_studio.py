"""Label Studio and the label queue, kept in step: tasks go there, annotations come back.

The queue is the truth; Label Studio is one holder of its tasks, for as long as a long lease. A
task is known there by its day and event, which its `meta` carries: whatever is missing is made,
whatever is there is found again. So a sync can be killed anywhere and run again: it makes no task
twice, loses no annotation, and counts none twice.
"""

from __future__ import annotations

import argparse
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_contracts.config import Settings
from data_contracts.secrets import ACCOUNT_KEY, LABEL_STUDIO_TOKEN, secret
from pipelines.accounts import hash_account
from pipelines.labelling.label_studio_client import LabelStudio
from pipelines.labelling.label_studio_sync import SOURCE, Sync
from pipelines.labelling.label_studio_task import PROJECT, VIEW
from pipelines.labelling.queue import ExposureLimit, open_label_queue
from pipelines.state import open_state


def run(_arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """`python -m pipelines review-sync`: open tasks to Label Studio, annotations to the queue.

    Raises ServiceUnavailable where Label Studio does not answer, ConfigurationError where it
    does not accept the token, MissingPart where a secret is absent.
    """
    review = settings.review
    studio = LabelStudio(review.url, secret(LABEL_STUDIO_TOKEN, settings.home))
    key = secret(ACCOUNT_KEY, settings.home)
    with _only_sync(settings.home):
        project = studio.ensure_project(review.project, PROJECT)
        studio.ensure_view(project, VIEW)
        sync = Sync(
            queue=open_label_queue(
                settings.state_url,
                settings.labelling.lease_seconds,
                ExposureLimit.of(settings.labelling),
            ),
            state=open_state(settings.state_url),
            studio=studio,
            project=project,
            lake=settings.lake,
            lease_seconds=review.lease_hours * 3600,
            pseudonym=lambda email: pseudonym(email, key),
            clock=lambda: datetime.now(UTC),
        )
        done = sync.run()
    return {**done, "page": f"{review.url}/projects/{project}/data"}


def pseudonym(email: str, key: str) -> str:
    """Who a label is from, without saying who that is: the same person has the same name.

    >>> pseudonym("ada@example.org", "k") == pseudonym("Ada@Example.org", "k")
    True
    """
    return f"{SOURCE}:{hash_account(email.casefold(), key)[:16]}"


@contextmanager
def _only_sync(home: Path) -> Iterator[None]:
    """Wait until no other sync of this home runs."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "review-sync.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
