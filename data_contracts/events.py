"""The event contract: what happened on the platform, as it arrives at the edge.

A minimal valid event is an id and a text: ``{"event_id": "e1", "text": "hello"}``.
pydantic checks single events at the edge; `data_contracts.tables` has the Arrow form for bulk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from data_contracts.errors import ContractViolation
from data_contracts.lines import LineContract, in_utc

MAX_TEXT_CHARACTERS = 65_536
MAX_MEDIA = 16
MAX_CONTEXT_ENTRIES = 128
MAX_EVENT_BYTES = 1_048_576
ENRICHED_PREFIXES = ("behaviour.", "surroundings.")
_SHOWN_FIELDS = {"event_id", "id", "occurred_at", "time", "language", "kind", "sha256", "path"}

ContextValue = str | bool | int | float | None
MediaKind = Literal["image", "video"]


class MediaReference(BaseModel):
    """One image or video: its bytes in base64, or a path under the media root. Never a URL."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: MediaKind
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: str | None = None
    path: Annotated[str, Field(max_length=512)] | None = None

    @model_validator(mode="after")
    def _has_exactly_one_source(self) -> MediaReference:
        if (self.bytes is None) == (self.path is None):
            raise ValueError("give exactly one of bytes (base64) and path (under the media root)")
        if self.path is not None and (self.path.startswith("/") or ".." in self.path.split("/")):
            raise ValueError("path must stay under the media root")
        return self


class Event(BaseModel):
    """One piece of content with its account and context.

    Of `context`, Weir knows the signals that `pipelines.features` names (`device`, `country`,
    `account_created_at`, …); other numbers become columns of the prefilter. Keys under
    ENRICHED_PREFIXES hold features of the past as of the event's time; enrichment writes them,
    and keeps those that are there, so that an event is scored again as it was.

    `occurred_at` is UTC; a time without a zone is read as UTC. `language` is a BCP 47 tag.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    event_id: Annotated[
        str,
        Field(
            min_length=1,
            max_length=128,
            pattern=r"^[^\x00-\x1f]+$",
            validation_alias=AliasChoices("event_id", "id"),
        ),
    ]
    text: Annotated[str, Field(max_length=MAX_TEXT_CHARACTERS)]
    occurred_at: Annotated[
        datetime | None, Field(validation_alias=AliasChoices("occurred_at", "time"))
    ] = None
    account: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$")] | None = None
    media: Annotated[tuple[MediaReference, ...], Field(max_length=MAX_MEDIA)] = ()
    context: Annotated[dict[str, ContextValue], Field(max_length=MAX_CONTEXT_ENTRIES)] = Field(
        default_factory=dict
    )

    @field_validator("occurred_at")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        return None if value is None else in_utc(value)

    @field_validator("text")
    @classmethod
    def _is_unicode(cls, value: str) -> str:
        if not value.isascii():
            value.encode("utf-8")  # lone surrogates cannot be stored or hashed
        return value

    @field_validator("context")
    @classmethod
    def _is_bounded(cls, value: dict[str, ContextValue]) -> dict[str, ContextValue]:
        for key, entry in value.items():
            if not key or len(key) > 64:
                raise ValueError("context keys have 1 to 64 characters")
            if isinstance(entry, str) and len(entry) > 1024:
                raise ValueError(f"context.{key} is longer than 1024 characters")
            if isinstance(entry, float) and not math.isfinite(entry):
                raise ValueError(f"context.{key} is not a finite number")
        return value


def parse_event(raw: Mapping[str, Any], *, where: str = "", ignore: tuple[str, ...] = ()) -> Event:
    """Check one decoded event; `ignore` names top-level fields that are dropped first.

    Raises ContractViolation that names the place, the field, the value and the remedy.
    """
    fields = {key: raw[key] for key in raw if key not in ignore} if ignore else raw
    try:
        return Event.model_validate(fields)
    except ValidationError as error:
        raise CONTRACT.violation(error, where) from None


def parse_event_line(line: bytes, *, where: str = "", ignore: tuple[str, ...] = ()) -> Event:
    """Check one JSON line (UTF-8). Raises ContractViolation, as `parse_event` does."""
    return parse_event(decode_line(line, where=where), where=where, ignore=ignore)


def decode_line(line: bytes, *, where: str = "") -> dict[str, Any]:
    """One JSON object of at most MAX_EVENT_BYTES bytes; ContractViolation for anything else."""
    if len(line) > MAX_EVENT_BYTES:
        raise ContractViolation(
            "event",
            f"{len(line)} bytes",
            f"an event has at most {MAX_EVENT_BYTES} bytes",
            "send large media by path under the media root",
            where=where,
        )
    return CONTRACT.decode(line, where)


def _holds_no_user_content(field: str) -> bool:
    first, _, _ = field.partition(".")
    *_, last = field.split(".")
    return first != "context" and last in _SHOWN_FIELDS


CONTRACT = LineContract(
    "event",
    ("event_id", "text", "occurred_at", "account", "language", "media", "context"),
    '{"event_id": "…", "text": "…"}',
    _holds_no_user_content,
)
