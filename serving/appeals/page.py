"""The pages of appeals as HTML: no script, nothing from elsewhere, work by keyboard.

What users wrote stands on the reviewer's page of one appeal, and on nobody else's but their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

from jinja2 import Environment

from pipelines.labelling.appeal_tables import APPEAL_STATES
from pipelines.labelling.appeals import LONGEST_REASON
from serving.appeals.own_appeals import OwnAppeal
from serving.appeals.sessions import WORD
from serving.status_page.templates import environment

STATES = {
    "submitted": "Your appeal waits for a person.",
    "under_review": "A person is looking at it.",
    "upheld": "A person decided that the action was right.",
    "overturned": "A person, or a newer model, decided that the action was wrong. It is undone.",
    "withdrawn": "You took the appeal back.",
}
REASONS = {  # of training/reasons.py, for people
    "wording_of_spam": "its wording is like spam's",
    "meaning_of_spam": "its meaning is like spam's",
    "contains_links": "it contains links",
    "contains_phone_number": "it contains a telephone number",
    "mentions_money": "it mentions money",
    "disguised_text": "its text is disguised",
    "combined_signals": "several weak signals together",
    "unlike_training": "it is unlike what the model learnt from",
}
SHORTCUTS = 9  # of the queue, by number


@dataclass(frozen=True)
class Visitor:
    """Who looks at an account's page: whether signed in, and the word of the forms then."""

    signed_in: bool = False
    word: str = ""
    own: Sequence[OwnAppeal] = ()


def account_page(
    given: Mapping[str, str], answer: tuple[int, Mapping[str, Any]] | None, visitor: Visitor
) -> str:
    """The form with what was `given`, the answer (status, what it says), and the own appeals."""
    return _environment().get_template("account.html.j2").render(
        given=given, status=answer[0] if answer else 0, said=answer[1] if answer else None,
        visitor=visitor, states=STATES, word_name=WORD,
    )  # fmt: skip


def sign_in_page(error: str = "") -> str:
    """Where a reviewer gives the token that the platform signed."""
    return _environment().get_template("review_sign_in.html.j2").render(error=error)


def problem_page(error: str) -> str:
    """What could not be shown to a reviewer who is signed in, and the way back."""
    return _environment().get_template("review_problem.html.j2").render(error=error)


def queue_page(
    listed: Mapping[str, Any], state: str, reviewer: str, word: str, now: datetime
) -> str:
    """Appeals in a state, those that are due first; nothing that users wrote."""
    return _environment().get_template("review_queue.html.j2").render(
        appeals=listed["appeals"], overdue=listed["overdue"], state=state, states=APPEAL_STATES,
        reviewer=reviewer, word=word, word_name=WORD, now=now, shortcuts=SHORTCUTS,
    )  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One appeal as `Desk.read` says it, and until when its reviewer holds it."""

    said: Mapping[str, Any]
    lease_expires_at: datetime | None
    error: str = ""
    reason: str = ""  # as it was typed, where the decision was refused


def appeal_page(shown: Shown, reviewer: str, word: str, now: datetime) -> str:
    """The case, and what its reviewer can do about it."""
    held = shown.said["state"] == "under_review"
    expired = shown.lease_expires_at is not None and shown.lease_expires_at < now
    return _environment().get_template("review_appeal.html.j2").render(
        appeal=shown.said, shown=shown, reviewer=reviewer, word=word, word_name=WORD, now=now,
        mine=held and shown.said["reviewer"] == reviewer and not expired,
        can_take=shown.said["state"] == "submitted" or (held and expired),
        longest=LONGEST_REASON,
    )  # fmt: skip


def due(stamp: str, now: datetime) -> str:
    """
    >>> from datetime import UTC
    >>> now = datetime(2026, 1, 5, tzinfo=UTC)
    >>> due("2026-01-05T05:00:00+00:00", now), due("2026-01-02T00:00:00+00:00", now)
    ('in 5 h', '3 d overdue')
    """
    left = datetime.fromisoformat(stamp) - now
    late, size = left < timedelta(), abs(left)
    hours = size.total_seconds() / 3600
    shown = f"{hours * 60:.0f} min" if hours < 1 else f"{hours:.0f} h" if hours < 48 else (
        f"{hours / 24:.0f} d"
    )  # fmt: skip
    return f"{shown} overdue" if late else f"in {shown}"


def in_words(reason: str) -> str:
    """A reason code for people; one that has no words yet as it is."""
    return REASONS.get(reason, reason.replace("_", " "))


def _stamp(stamp: str) -> str:
    return stamp[:16].replace("T", " ")


@cache
def _environment() -> Environment:
    ours = environment(Path(__file__).parent)
    ours.filters |= {"due": due, "in_words": in_words, "quoted": quote, "stamp": _stamp}
    return ours
