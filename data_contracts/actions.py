"""What accounts do beside posting content: the other half of behaviour.

An `Event` is content to judge; an `Action` is one line of the platform's activity log. Both are
read in the order in which they arrived. A line is JSON:
``{"account": "a", "kind": "like", "target": "b", "at": "2026-01-05T10:00:00Z"}``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from data_contracts.lines import LineContract, in_utc

ActionKind = Literal["follow", "unfollow", "like", "reply", "view", "report", "confirmed_spam"]
ACTION_KINDS: tuple[ActionKind, ...] = get_args(ActionKind)
MAX_ACTION_BYTES = 4_096
_Name = Annotated[str, Field(min_length=1, max_length=256)]


@dataclass(frozen=True)
class Action:
    """`account` did `kind` to `target` (an account) at `at`, aware UTC.

    `report` is a report of `target` by `account`. `confirmed_spam` is the platform's: `target`
    was found to spam, and `account` is who found it. `device` is the fingerprint used, if known.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    account: _Name
    kind: ActionKind
    target: _Name
    at: Annotated[datetime, AfterValidator(in_utc)]
    device: _Name | None = None

    def __post_init__(self) -> None:
        if self.kind not in ACTION_KINDS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(ACTION_KINDS)}")
        if self.at.tzinfo is None:
            raise ValueError(f"at {self.at} has no zone; give an aware datetime")


CONTRACT = LineContract(
    "action",
    ("account", "kind", "target", "at", "device"),
    '{"account": "…", "kind": "like", "target": "…", "at": "2026-01-05T10:00:00Z"}',
    lambda field: field in ("kind", "at"),
)
_ACTION = TypeAdapter(Action)


def parse_action_line(line: bytes, *, where: str = "") -> Action:
    """Check one line of the activity log (UTF-8); a time without a zone is UTC.

    Raises ContractViolation that names the place, the field, the value and the remedy.
    """
    raw = CONTRACT.decode(line, where)
    try:
        return _ACTION.validate_python(raw)
    except ValidationError as error:
        raise CONTRACT.violation(error, where) from None
