"""What the headers of a request say of it beside its body: arm, mirrored or not, class, deadline.

The same for REST headers and gRPC metadata. Envoy marks a mirrored request's Host (which grpc.aio
does not show), and names the weighted cluster's arm in a header.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from data_contracts.config import PRIORITIES, Admission
from data_contracts.verdicts import Arm
from serving.request_class import DEFAULT, PRIORITY, priority_of, seconds_allowed
from serving.requests import BadRequest
from serving.verdict_service import Origin, Urgency

ARM = b"x-weir-arm"
ARMS: dict[bytes, Arm] = {b"stable": "stable", b"baseline": "baseline", b"canary": "canary"}
_MIRROR = re.compile(rb"-shadow(:\d+)?$")  # what Envoy appends to the Host of a mirrored request


def origin_of(headers: Mapping[bytes, bytes]) -> Origin:
    """The arm, and whether the answer has no effect. Raises BadRequest for an arm that is none.

    A bulk request scores stored events again: like a mirrored one it has no effect on users, so
    its records never count as decisions.

    >>> origin_of({b"host": b"127.0.0.1-shadow:8600"})
    Origin(arm='shadow', mirrored=True)
    >>> origin_of({b"host": b"127.0.0.1:8600", b"x-weir-arm": b"canary"})
    Origin(arm='canary', mirrored=False)
    >>> origin_of({b"host": b"127.0.0.1:8600", b"x-weir-priority": b"bulk"})
    Origin(arm='stable', mirrored=True)
    """
    if _is_mirrored(headers):
        return Origin("shadow", mirrored=True)
    arm = headers.get(ARM, b"stable")
    if arm not in ARMS:
        shown = arm[:40].decode("ascii", "replace")
        known = ", ".join(ARMS.values())
        raise BadRequest(f"x-weir-arm is {shown!r}; send one of {known}, or leave it out")
    return Origin(ARMS[arm], mirrored=headers.get(PRIORITY) == b"bulk")


def urgency_of(
    headers: Mapping[bytes, bytes], admission: Admission, seconds_left: float | None = None
) -> Urgency:
    """The class and the deadline, which `seconds_left` of the caller's may shorten."""
    priority = priority_of(headers, mirrored=_is_mirrored(headers))
    seconds = seconds_allowed(headers, priority, admission)
    if seconds_left is not None:
        seconds = min(seconds, seconds_left)
    return Urgency(priority, seconds, time.monotonic() + seconds)


def counted_as(headers: Mapping[bytes, bytes]) -> tuple[str, str]:
    """Priority class and arm that a request is counted under, whatever is wrong with it.

    >>> counted_as({b"x-weir-priority": b"bulk", b"x-weir-arm": b"nonsense"})
    ('bulk', 'stable')
    """
    if _is_mirrored(headers):
        return "shadow", "shadow"
    arm: Arm = ARMS.get(headers.get(ARM, b""), "stable")
    named = headers.get(PRIORITY, b"").decode("ascii", "replace")
    return named if named in PRIORITIES else DEFAULT, arm


def _is_mirrored(headers: Mapping[bytes, bytes]) -> bool:
    host = headers.get(b"host", b"")
    return b"-shadow" in host and _MIRROR.search(host) is not None
