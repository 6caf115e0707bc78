"""The same content elsewhere: how often, by how many accounts, at how many targets, since when.

Content is the same as text (exactly, once normalised), as near text, as a file, as near image, or
by a domain that is linked. Of several files or domains the most posted one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import log1p

from data_contracts.events import Event
from pipelines.feature_store.states import StateStore, announce
from pipelines.features.surroundings.contents import Content
from pipelines.features.surroundings.fingerprints import (
    Fingerprint,
    are_near_images,
    are_near_texts,
)
from pipelines.features.surroundings.leaders import Leaders
from pipelines.features.surroundings.moments import seconds
from pipelines.features.surroundings.trails import (
    DAY,
    HOUR,
    NOTHING,
    Trail,
    mark,
    read_trail,
    write_trail,
)

KINDS = ("text", "near_text", "file", "near_image", "domain")
MEASURES = (
    "posts_hour", "posts_day", "accounts_hour", "accounts_day", "targets_hour", "targets_day",
    "first_hours_log",
)  # fmt: skip
NAMES = tuple(f"{kind}_{measure}" for kind in KINDS for measure in MEASURES)


class CrossPosts:
    """Keeps a trail of each content."""

    def __init__(self, states: StateStore) -> None:
        self._states = states
        self._leaders = {
            "near_text": Leaders(states, "text", are_near_texts),
            "near_image": Leaders(states, "image", are_near_images),
        }

    def keys(self, content: Content) -> list[str]:
        """What `features` reads first: the trails of same content, the leaders of near content."""
        exact = [_key(kind, name) for kind, names in _exact(content).items() for name in names]
        return exact + [
            key
            for kind, prints in _near(content).items()
            for one in prints
            for key in self._leaders[kind].keys(one)
        ]

    def features(self, event: Event, content: Content) -> dict[str, float]:
        """Of each kind of content that the event has; zeros where it is the first."""
        now = seconds(event)
        if now is None:
            return {}
        return {
            f"{kind}_{name}": value
            for kind, keys in self._known(content)
            for name, value in _measured(self._trails(keys, now), now).items()
        }

    def observe(self, event: Event, content: Content) -> None:
        at, target = seconds(event), next(iter(content.target), None)
        if at is None:
            return
        for key in self._joined(content):
            trail = read_trail(self._states, key)
            write_trail(self._states, key, trail.joined(at, mark(event.account), mark(target)))

    def _trails(self, keys: Iterable[str], now: float) -> list[Trail]:
        keys = list(keys)
        announce(self._states, keys)
        found = [read_trail(self._states, key).until(now) for key in keys]
        return [trail for trail in found if trail is not None]

    def _known(self, content: Content) -> Iterator[tuple[str, list[str]]]:
        """The trails that each kind of the event's content has; an empty list for new content."""
        for kind, names in _exact(content).items():
            if names:
                yield kind, [_key(kind, name) for name in names]
        for kind, prints in _near(content).items():
            if prints:
                leaders = [known for one in prints for known in self._leaders[kind].near(one)]
                yield kind, [_key(kind, known.hex()) for known in dict.fromkeys(leaders)]

    def _joined(self, content: Content) -> dict[str, None]:
        exact = [_key(kind, name) for kind, names in _exact(content).items() for name in names]
        near = [
            _key(kind, self._leaders[kind].follow(one).hex())
            for kind, prints in _near(content).items()
            for one in prints
        ]
        return dict.fromkeys(exact + near)


def _exact(content: Content) -> dict[str, tuple[str, ...]]:
    return {"text": content.text, "file": content.file, "domain": content.domain}


def _near(content: Content) -> dict[str, tuple[Fingerprint, ...]]:
    return {"near_text": content.near_text, "near_image": content.near_image}


def _measured(trails: Sequence[Trail], now: float) -> dict[str, float]:
    busiest = max(trails, key=lambda trail: trail.spread(now, DAY), default=NOTHING)
    hour, day = busiest.spread(now, HOUR), busiest.spread(now, DAY)
    values = (*(count for pair in zip(hour, day, strict=True) for count in pair),)
    measured = dict(zip(MEASURES, map(float, values), strict=False))
    if trails:
        measured["first_hours_log"] = log1p((now - busiest.first) / HOUR)
    return measured


def _key(kind: str, content: str) -> str:
    return f"post:{kind}:{content}"
