"""Waivers: a named person lets missing evidence pass, in writing, for one version and a few days.

A waiver is signed with Ed25519 (RFC 8032) and names the version, its artefact and the gate's
report, so it is worth nothing for any other. Only a lack of evidence can be waived: a gate that
says fail stays a fail.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from data_contracts.config import Registry
from data_contracts.errors import BadInput, MissingPart
from training.gate_evidence import GATE_TAG, WAIVED, WAIVER_TAG, gate_verdicts
from training.registry.artefact import ARTEFACT_TAG
from training.registry.versions import ModelVersion

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = "WEIR_WAIVER_KEY"
WHOLE = "all"
CLOCKS_APART = timedelta(minutes=5)  # between the signer's machine and the registry's
_PURPOSE = b"weir waiver 1\n"  # so that the key's signatures mean nothing elsewhere
_LACKING = "not_enough_evidence"
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Waiver(BaseModel):
    """What is waived, by whom, why and until when (that day included, UTC).

    `report` is the digest of the gate's report. Without a `figure` every lack of evidence of the
    gate is waived; with one only that figure, on that `slice`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[str, Field(pattern=r"^models:/[^/]+/\d+$")]
    artefact: Digest
    gate: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    report: Digest
    reason: Annotated[str, Field(min_length=10, max_length=500)]
    by: Annotated[str, Field(min_length=1, max_length=80)]
    signed_at: AwareDatetime
    until: date
    figure: Annotated[str, Field(max_length=60)] | None = None
    slice: Annotated[str, Field(max_length=100)] = WHOLE
    signature: str = ""

    @property
    def covers(self) -> str:
        """In words, for the trail, the description and the card."""
        if self.figure is None:
            return f"{self.gate}: every lack of evidence"
        part = "" if self.slice == WHOLE else f" ({self.slice})"
        return f"{self.gate}: {self.figure}{part}"

    @property
    def ends(self) -> datetime:
        """The first moment at which it counts no more."""
        return datetime.combine(self.until, time(), UTC) + timedelta(days=1)

    def as_record(self) -> dict[str, Any]:
        """Plain JSON types, as the file and the version's tag hold it."""
        return self.model_dump(mode="json")

    def content(self) -> bytes:
        """The bytes that are signed: everything but the signature."""
        record = self.model_dump(mode="json", exclude={"signature"})
        return _PURPOSE + orjson.dumps(record, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True)
class WaiverRules:
    """Who may waive (name to Ed25519 public key, 64 hexadecimal digits), and for how many days."""

    signers: Mapping[str, str]
    days_at_most: int

    @classmethod
    def of(cls, settings: Registry) -> WaiverRules:
        return cls(settings.waiver_signers, settings.waiver_days_at_most)


def draft(
    version: ModelVersion, gate: str, *, reason: str, by: str, until: date, now: datetime,
    figure: str | None = None, part: str = WHOLE,
) -> Waiver:  # fmt: skip
    """An unsigned waiver of what the version's tags say of the gate.

    Raises BadInput where no report of the gate is recorded, or it does not lack evidence.
    """
    said, _, report = version.tags.get(f"{GATE_TAG}{gate}", "").partition(" ")
    if said not in (_LACKING, WAIVED):
        told = f"says {said}" if said else "has not judged it"
        raise BadInput(
            f"gate {gate} {told} ({version.uri}); only a recorded lack of evidence can be waived: "
            "run `python -m training promote` with its report first"
        )
    try:
        return Waiver(
            version=version.uri, artefact=version.tags.get(ARTEFACT_TAG, ""), gate=gate,
            report=report, reason=reason, by=by, signed_at=now, until=until, figure=figure,
            slice=part,
        )  # fmt: skip
    except ValidationError as error:
        raise BadInput(f"waiver of {gate}: {_first(error)}") from None


def signed(waiver: Waiver, private_key: str) -> Waiver:
    """The waiver with its signature; `private_key` is 64 hexadecimal digits."""
    signature = _private(private_key).sign(waiver.content()).hex()
    return waiver.model_copy(update={"signature": signature})


def public_key(private_key: str) -> str:
    """What `registry.waiver_signers` holds for the owner of this private key."""
    return _private(private_key).public_key().public_bytes_raw().hex()


def private_key_of(environ: Mapping[str, str] = os.environ) -> str:
    """The signer's key. Raises MissingPart that says how to make one."""
    if not environ.get(KEY):
        raise MissingPart(
            f"{KEY} is not set; make a key of your own with `openssl rand -hex 32`, export it for "
            "this command only, and have `python -m training waiver public-key` put into "
            "registry.waiver_signers"
        )
    return environ[KEY]


def read_waiver(path: Path) -> Waiver:
    """Raises BadInput that names the file and what is wrong with it."""
    try:
        return Waiver.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"waiver {path}: {error.strerror}; sign one first") from None
    except ValidationError as error:
        raise BadInput(f"{path} is no waiver: {_first(error)}; sign it again") from None


def problem(
    waiver: Waiver, version: ModelVersion, report: str, rules: WaiverRules, now: datetime
) -> str | None:
    """Why the waiver does not count for this version and this report now; None where it does."""
    if waiver.by not in rules.signers:
        return f"{waiver.by} may not waive; registry.waiver_signers has {_names(rules)}"
    if not _is_signed(waiver, rules.signers[waiver.by]):
        return f"the signature is not {waiver.by}'s, or the waiver was changed after it"
    if (waiver.version, waiver.artefact) != (version.uri, version.tags.get(ARTEFACT_TAG)):
        return f"the waiver is for {waiver.version} and its files, not for {version.uri}"
    if waiver.report != report:
        return "the gate judged again since; the waiver is for another report"
    if waiver.until > waiver.signed_at.date() + timedelta(days=rules.days_at_most):
        return (
            f"the waiver holds until {waiver.until}, more than {rules.days_at_most} days after "
            "it was signed (registry.waiver_days_at_most)"
        )
    if waiver.signed_at > now + CLOCKS_APART:
        return f"the waiver was signed at {waiver.signed_at:%Y-%m-%d %H:%M}, which is to come"
    if now >= waiver.ends:
        return f"the waiver by {waiver.by} ended on {waiver.until}; bring evidence or sign anew"
    return None


def waivers_of(tags: Mapping[str, str], gate: str) -> tuple[Waiver, ...]:
    """The waivers of a gate that a version's tags hold; none where they cannot be read."""
    try:
        records = orjson.loads(tags.get(f"{WAIVER_TAG}{gate}", "[]"))
        return tuple(Waiver.model_validate_json(orjson.dumps(record)) for record in records)
    except (ValueError, TypeError):  # ValidationError and JSONDecodeError are ValueErrors
        return ()


def waived_without_right(version: ModelVersion, rules: WaiverRules, now: datetime) -> str | None:
    """Why the tags of a version that is waived somewhere are not evidence now, or None."""
    for gate, verdict in gate_verdicts(version.tags).items():
        if verdict != WAIVED:
            continue
        waivers = waivers_of(version.tags, gate)
        if not waivers:
            return f"gate {gate} is waived, but its tag {WAIVER_TAG}{gate} holds no signed waiver"
        report = version.tags[f"{GATE_TAG}{gate}"].partition(" ")[2]
        for waiver in waivers:
            if found := problem(waiver, version, report, rules, now):
                return f"gate {gate}: {found}"
    return None


def not_covered(
    metrics: Sequence[Mapping[str, Any]], waivers: Sequence[Waiver]
) -> list[tuple[str, str]]:
    """Figure and slice of each lack of evidence that no waiver covers."""
    if any(waiver.figure is None for waiver in waivers):
        return []
    covered = {(waiver.figure, waiver.slice) for waiver in waivers}
    return [key for key in lacking(metrics) if key not in covered]


def lacking(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Figure and slice of every metric of a report whose evidence does not suffice."""
    return [
        (str(metric["name"]), str(metric.get("slice", WHOLE)))
        for metric in metrics
        if metric.get("verdict") == _LACKING
    ]


def _is_signed(waiver: Waiver, key: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(bytes.fromhex(waiver.signature), waiver.content())
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(key: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key))
    except ValueError:  # the value itself is a secret
        raise BadInput(f"{KEY} is not 64 hexadecimal digits; use `openssl rand -hex 32`") from None


def _names(rules: WaiverRules) -> str:
    return ", ".join(sorted(rules.signers)) or "nobody"


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "content"
    return f"{field} = {first.get('input')!r}: {first['msg']}"
