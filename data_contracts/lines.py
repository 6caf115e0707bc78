"""What every contract asks of a line of JSON, and how it names what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError

from data_contracts.errors import ContractViolation

MAX_FIELD_CHARACTERS = 64


@dataclass(frozen=True)
class LineContract:
    """A contract in words: what a line is, its fields, and the least that a line says.

    `is_shown` says of a field whether its value may stand in a reason: user text never reaches a
    log or an answer.
    """

    name: str
    fields: tuple[str, ...]
    least: str
    is_shown: Callable[[str], bool]

    def decode(self, line: bytes, where: str = "") -> dict[str, Any]:
        """One JSON object; ContractViolation for anything else."""
        try:
            raw = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ContractViolation(
                "line", f"{len(line)} bytes", f"not JSON ({error.msg})",
                "write one JSON object a line", where=where,
            ) from None  # fmt: skip
        if not isinstance(raw, dict):
            raise ContractViolation(
                "line", type(raw).__name__, "not a JSON object",
                f"write one object a line, at least {self.least}", where=where,
            )  # fmt: skip
        return raw

    def violation(self, error: ValidationError, where: str = "") -> ContractViolation:
        """The first thing that breaks the contract: its field, value, problem and remedy."""
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])[:MAX_FIELD_CHARACTERS] or self.name
        value, problem = first.get("input"), first["msg"]
        if first["type"] == "missing":
            problem, value = "is missing", None
        elif first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            problem = f"is not a field of the {self.name} contract"
            value = _described(value)
        elif not self.is_shown(field):
            value = _described(value)
        remedy = f"the contract has {', '.join(self.fields)}"
        return ContractViolation(field, value, problem, remedy, where=where)


def in_utc(value: datetime) -> datetime:
    """A time without a zone is UTC. ValueError where it lies outside the years 1 to 9999."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time lies outside the years 1 to 9999 in UTC") from None


def _described(value: object) -> str | None:
    """What a value is, without what it says."""
    if value is None:
        return None
    if isinstance(value, str):
        return f"{len(value)} characters"
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, (list, dict)) else kind
