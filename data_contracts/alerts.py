"""What monitoring and detectors say when something is abnormal; incident response listens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, cast

import orjson

SeverityHint = Literal["page", "ticket", "info"]
SEVERITY_HINTS: tuple[SeverityHint, ...] = ("page", "ticket", "info")  # gravest first
FINGERPRINT_CHARACTERS = 16


@dataclass(frozen=True)
class Alert:
    """One observation that is abnormal: of what, how far from what was expected, and why.

    `subject` says where (slice, feature, stage, model_version, dag, ...); `value`, `expected`,
    `low` and `high` are in the unit of the series that `name` stands for. Neither `reason` nor
    `likely_cause` nor the subject may hold what users wrote: they reach pagers and logs. Alerts of
    one name and subject are one alert raised again, and share their `fingerprint`.
    """

    name: str
    severity_hint: SeverityHint
    subject: Mapping[str, str]
    value: float
    expected: float | None
    low: float | None
    high: float | None
    at: datetime
    reason: str
    likely_cause: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name is empty; give the alert the name of its rule")
        if self.severity_hint not in SEVERITY_HINTS:
            raise ValueError(
                f"severity_hint = {self.severity_hint!r}; give one of {SEVERITY_HINTS}"
            )
        if self.at.tzinfo is None:
            raise ValueError(f"at = {self.at} has no zone; give an aware time in UTC")

    @property
    def fingerprint(self) -> str:
        """A stable hash of name and subject.

        >>> from datetime import UTC
        >>> alert = Alert("A", "page", {"b": "2", "a": "1"}, 1.0, None, None, None,
        ...               datetime(2026, 1, 5, tzinfo=UTC), "", "")
        >>> alert.fingerprint
        '0acf945046808937'
        """
        subject = sorted(self.subject.items())
        return hashlib.sha256(orjson.dumps([self.name, subject])).hexdigest()[
            :FINGERPRINT_CHARACTERS
        ]

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"subject": dict(self.subject), "at": self.at.isoformat()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Alert:
        """The inverse of `as_record`. KeyError, TypeError, ValueError for what is no alert."""
        hint = cast("SeverityHint", record["severity_hint"])
        subject = {str(key): str(value) for key, value in record["subject"].items()}
        at = datetime.fromisoformat(record["at"])
        return cls(**{**record, "severity_hint": hint, "subject": subject, "at": at})
