"""The priority class of a request and the time it has, as its headers say.

`x-weir-priority` is interactive, normal, bulk or shadow; a mirrored request is shadow, whatever it
says. `x-weir-deadline-milliseconds` may shorten the time of the class, never lengthen it.
"""

from __future__ import annotations

from collections.abc import Mapping

from data_contracts.config import PRIORITIES, Admission, Priority
from serving.requests import BadRequest

PRIORITY, DEADLINE = b"x-weir-priority", b"x-weir-deadline-milliseconds"
DEFAULT: Priority = "normal"


def priority_of(headers: Mapping[bytes, bytes], *, mirrored: bool) -> Priority:
    """The class. Raises BadRequest for a name that is none.

    >>> priority_of({}, mirrored=False), priority_of({PRIORITY: b"interactive"}, mirrored=True)
    ('normal', 'shadow')
    """
    if mirrored:
        return "shadow"
    named = headers.get(PRIORITY, DEFAULT.encode()).decode("ascii", "replace")
    if named not in PRIORITIES:
        raise BadRequest(
            f"x-weir-priority is {named[:40]!r}; "
            f"send one of {', '.join(PRIORITIES)}, or leave it out"
        )
    return named


def seconds_allowed(
    headers: Mapping[bytes, bytes], priority: Priority, admission: Admission
) -> float:
    """The time from now until the answer is too late. Raises BadRequest for no positive integer.

    >>> from data_contracts.config import load_settings
    >>> admission = load_settings({}).serving.admission
    >>> seconds_allowed({DEADLINE: b"50"}, "interactive", admission)
    0.05
    """
    longest = admission.classes[priority].deadline_milliseconds / 1000
    named = headers.get(DEADLINE)
    if named is None:
        return longest
    if not (named.isdigit() and int(named[:10]) > 0):
        shown = named[:40].decode("ascii", "replace")
        raise BadRequest(
            f"x-weir-deadline-milliseconds is {shown!r}; "
            "send a whole number above 0, or leave it out"
        )
    return min(longest, int(named[:10]) / 1000)
