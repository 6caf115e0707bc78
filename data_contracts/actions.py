"""What accounts do beside posting content: the other half of behaviour.

An `Event` is content to judge; an `Action` is one line of the platform's activity log. Both are
read in the order in which they arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

ActionKind = Literal["follow", "unfollow", "like", "reply", "view", "report", "confirmed_spam"]
ACTION_KINDS: tuple[ActionKind, ...] = get_args(ActionKind)


@dataclass(frozen=True)
class Action:
    """`account` did `kind` to `target` (an account) at `at`, aware UTC.

    `report` is a report of `target` by `account`. `confirmed_spam` is the platform's: `target`
    was found to spam, and `account` is who found it. `device` is the fingerprint used, if known.
    """

    account: str
    kind: ActionKind
    target: str
    at: datetime
    device: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ACTION_KINDS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(ACTION_KINDS)}")
        if self.at.tzinfo is None:
            raise ValueError(f"at {self.at} has no zone; give an aware datetime")
