"""The same content elsewhere: how often, by how many accounts, at how many targets, since when.

Content is the same as text (exactly, once normalised), as near text, as a file, as near image, or
by a domain that is linked. Of several files or domains the most posted one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import log1p
from operator import itemgetter
from typing import NamedTuple

from data_contracts.events import Event
from pipelines.feature_store.states import Read, StateStore, read_many
from pipelines.features.surroundings.contents import Content
from pipelines.features.surroundings.fingerprints import (
    Fingerprint,
    near_images,
    near_texts,
)
from pipelines.features.surroundings.leaders import Leaders
from pipelines.features.surroundings.moments import seconds
from pipelines.features.surroundings.trails import (
    DAY,
    HOUR,
    first_seen,
    mark,
    read_trail,
    spreads,
    write_trail,
)

KINDS = ("text", "near_text", "file", "near_image", "domain")
MEASURES = (
    "posts_hour", "posts_day", "accounts_hour", "accounts_day", "targets_hour", "targets_day",
    "first_hours_log",
)  # fmt: skip
NAMES_OF = {kind: tuple(f"{kind}_{measure}" for measure in MEASURES) for kind in KINDS}
NAMES = tuple(name for names in NAMES_OF.values() for name in names)


class Keys(NamedTuple):
    """`exact`: trails of the same content. `near`: near content, and where its leaders are."""

    exact: Mapping[str, Sequence[str]]
    near: Mapping[str, Sequence[tuple[Fingerprint, Sequence[str]]]]

    def all(self) -> list[str]:
        near = [keys for prints in self.near.values() for _, keys in prints]
        return [*chain(*self.exact.values()), *chain(*near)]


class CrossPosts:
    """Keeps a trail of each content."""

    def __init__(self, states: StateStore) -> None:
        self._states = states
        self._leaders = {
            "near_text": Leaders(states, "text", near_texts),
            "near_image": Leaders(states, "image", near_images),
        }

    def keys(self, content: Content) -> Keys:
        """What `features` reads first; kinds that the content lacks are left out."""
        exact = {kind: [_key(kind, one) for one in names] for kind, names in _exact(content)}
        near = {
            kind: [(one, self._leaders[kind].keys(one)) for one in prints]
            for kind, prints in _near(content)
        }
        return Keys(exact, near)

    def features(self, event: Event, keys: Keys, read: Read) -> dict[str, float]:
        """Of each kind of content that the event has; zeros where it is the first."""
        now = seconds(event)
        if now is None:
            return {}
        followed = self._followed(keys, read)
        found = read_many(self._states, chain.from_iterable(followed.values()))
        measured: dict[str, float] = {}
        for kind, trails in keys.exact.items():
            measured |= _measured(kind, map(read, trails), now)
        for kind, trails in followed.items():
            measured |= _measured(kind, map(found.get, trails), now)
        return measured

    def observe(self, event: Event, content: Content) -> None:
        at, target = seconds(event), next(iter(content.target), None)
        if at is None:
            return
        for key in self._joined(content):
            trail = read_trail(self._states, key)
            write_trail(self._states, key, trail.joined(at, mark(event.account), mark(target)))

    def _followed(self, keys: Keys, read: Read) -> dict[str, list[str]]:
        """The trails of near content: of every leader that is near."""
        followed: dict[str, list[str]] = {}
        for kind, prints in keys.near.items():
            leaders = [self._leaders[kind].near(one, own, read) for one, own in prints]
            near = dict.fromkeys(chain.from_iterable(leaders))
            followed[kind] = [_key(kind, leader.hex()) for leader in near]
        return followed

    def _joined(self, content: Content) -> dict[str, None]:
        exact = [_key(kind, name) for kind, names in _exact(content) for name in names]
        near = [
            _key(kind, self._leaders[kind].follow(one).hex())
            for kind, prints in _near(content)
            for one in prints
        ]
        return dict.fromkeys(exact + near)


def _exact(content: Content) -> list[tuple[str, tuple[str, ...]]]:
    kinds = (("text", content.text), ("file", content.file), ("domain", content.domain))
    return [(kind, names) for kind, names in kinds if names]


def _near(content: Content) -> list[tuple[str, tuple[Fingerprint, ...]]]:
    kinds = (("near_text", content.near_text), ("near_image", content.near_image))
    return [(kind, prints) for kind, prints in kinds if prints]


def _measured(kind: str, trails: Iterable[bytes | None], now: float) -> Mapping[str, float]:
    """Of the busiest of these packed trails."""
    known = [
        (*spreads(packed, now, DAY, HOUR), first)
        for packed in trails
        if packed is not None and (first := first_seen(packed, now)) is not None
    ]
    if not known:
        return _FIRST[kind]
    day, hour, first = max(known, key=itemgetter(0))
    values = (*(count for pair in zip(hour, day, strict=True) for count in pair),)
    return dict(zip(NAMES_OF[kind], (*values, log1p((now - first) / HOUR)), strict=True))


def _key(kind: str, content: str) -> str:
    return f"post:{kind}:{content}"


_FIRST = {kind: dict.fromkeys(names[:-1], 0.0) for kind, names in NAMES_OF.items()}
