"""Writing an object so that nobody's work is lost: read, change, check, write what differs.

A write carries the `resourceVersion` that it was built from. Where somebody was faster, it is
built anew from what stands there now; where somebody keeps being faster, the error says who.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from data_contracts.errors import BadInput, ServiceUnavailable
from serving.rollout.targets.kserve_cluster import (
    FIELD_MANAGER,
    Cluster,
    ConflictError,
    Kind,
    Object,
)
from serving.rollout.targets.kserve_services import OURS, is_ours

ATTEMPTS = 5
_SHOWN_DIFFERENCES = 3
Build = Callable[[Object | None], Object | None]  # None: leave it as it is


def write(
    cluster: Cluster, kind: Kind, name: str, build: Build, check: Callable[[Object], None]
) -> Object | None:
    """Make the object what `build` makes of it; the change that was written, if there was any.

    Raises BadInput for an object that is not ours, what `check` raises for one that must not be
    written, and ServiceUnavailable where others kept writing it.
    """
    for _ in range(ATTEMPTS):
        current = cluster.get(kind, name)
        if current is not None and not is_ours(current):
            raise BadInput(_not_ours(kind, name, current))
        wanted = build(current)
        if wanted is None:
            return None
        change = wanted if current is None else merge_patch(current, wanted)
        if not change:
            return None
        check(wanted)
        try:
            if current is None:
                cluster.create(kind, wanted)
            else:
                cluster.patch(kind, name, _as_seen(change, current))
        except ConflictError:
            continue
        return change
    raise ServiceUnavailable(
        f"{kind.name} {name} was changed by somebody else before each of {ATTEMPTS} writes; last "
        f"by {last_writer(cluster.get(kind, name))}; have that stop, or trying again may help"
    )


def merge_patch(current: Any, wanted: Any) -> Object:
    """What RFC 7396 has to say to make `wanted` of `current`; empty where they are equal.

    >>> merge_patch({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2, "d": 4}})
    {'b': {'d': 4}, 'a': None}
    """
    change: Object = {}
    for key, value in wanted.items():
        if key in current and isinstance(value, dict) and isinstance(current[key], dict):
            if inner := merge_patch(current[key], value):
                change[key] = inner
        elif key not in current or current[key] != value:
            change[key] = value
    return {**change, **dict.fromkeys(key for key in current if key not in wanted)}


def covers(current: Any, wanted: Any) -> bool:
    """Whether all of `wanted` stands in `current`, which may have defaults beside it.

    >>> covers({"a": [{"b": 1, "default": 0}]}, {"a": [{"b": 1}]})
    True
    >>> covers({"a": [1, 2]}, {"a": [1]})
    False
    """
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(
            key in current and covers(current[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(current, list)
            and len(current) == len(wanted)
            and all(map(covers, current, wanted))
        )
    return bool(current == wanted)


def shown(change: Object) -> str:
    """The first few fields of a change, for a line in a log."""
    fields = list(_fields(change, ""))
    more = f" and {len(fields) - _SHOWN_DIFFERENCES} more" * (len(fields) > _SHOWN_DIFFERENCES)
    return ", ".join(fields[:_SHOWN_DIFFERENCES]) + more


def last_writer(found: Object | None) -> str:
    """The field manager, other than ours, that wrote more than its status last, and when."""
    managers = [] if found is None else found["metadata"].get("managedFields", [])
    others = [
        one
        for one in managers
        if one.get("manager") != FIELD_MANAGER and one.get("subresource") != "status"
    ]
    if not others:
        return "nobody whom the API server names"
    latest = max(others, key=lambda one: str(one.get("time", "")))
    return f"{latest.get('manager')} at {latest.get('time')}"


def _as_seen(change: Object, current: Object) -> Object:
    version = {"resourceVersion": current["metadata"]["resourceVersion"]}
    return {**change, "metadata": {**change.get("metadata", {}), **version}}


def _fields(change: Any, path: str) -> Iterator[str]:
    for key, value in change.items():
        here = f"{path}.{key}" if path else str(key)
        if isinstance(value, dict) and value:
            yield from _fields(value, here)
        else:
            yield here


def _not_ours(kind: Kind, name: str, found: Object) -> str:
    key, value = next(iter(OURS.items()))
    return (
        f"{kind.name} {name} is there and not Weir's (labels {found['metadata'].get('labels')}); "
        f"hand it over: kubectl label {kind.plural} {name} {key}={value}, or name another in "
        "rollout.kserve"
    )
