"""The same content elsewhere: how often, by how many accounts, at how many targets, since when.

Content is the same as text (exactly, once normalised), as near text, as a file, as near image, or
by a domain that is linked. Of several files or domains the most posted one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log1p

from data_contracts.events import Event
from pipelines.feature_store.states import StateStore
from pipelines.features.media.hashes import ImageHashes
from pipelines.features.surroundings.fingerprints import (
    Fingerprint,
    are_near_images,
    are_near_texts,
    domains,
    image_fingerprint,
    plain_text,
    text_digest,
    text_fingerprint,
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
    """Keeps a trail of each content; `hashes` are those of the event's images."""

    def __init__(self, states: StateStore) -> None:
        self._states = states
        self._leaders = {
            "near_text": Leaders(states, "text", are_near_texts),
            "near_image": Leaders(states, "image", are_near_images),
        }

    def features(self, event: Event, hashes: Sequence[ImageHashes]) -> dict[str, float]:
        """Of each kind of content that the event has; zeros where it is the first."""
        now = seconds(event)
        if now is None:
            return {}
        trails = {kind: self._trails(keys, now) for kind, keys in self._known(event, hashes)}
        return {
            f"{kind}_{name}": value
            for kind, found in trails.items()
            for name, value in _measured(found, now).items()
        }

    def observe(self, event: Event, hashes: Sequence[ImageHashes]) -> None:
        at, target = seconds(event), event.context.get("target")
        if at is None:
            return
        who, where = mark(event.account), mark(target if isinstance(target, str) else None)
        for key in self._joined(event, hashes):
            trail = read_trail(self._states, key)
            write_trail(self._states, key, trail.joined(at, who, where))

    def _trails(self, keys: Iterable[str], now: float) -> list[Trail]:
        found = [read_trail(self._states, key).until(now) for key in keys]
        return [trail for trail in found if trail is not None]

    def _known(
        self, event: Event, hashes: Sequence[ImageHashes]
    ) -> Iterator[tuple[str, list[str]]]:
        """The trails that each kind of the event's content has; an empty list for new content."""
        for kind, contents in _exact(event).items():
            if contents:
                yield kind, [_key(kind, content) for content in contents]
        for kind, prints in _fingerprints(event, hashes).items():
            if prints:
                leaders = [known for one in prints for known in self._leaders[kind].near(one)]
                yield kind, [_key(kind, known.hex()) for known in dict.fromkeys(leaders)]

    def _joined(self, event: Event, hashes: Sequence[ImageHashes]) -> set[str]:
        exact = {_key(kind, one) for kind, contents in _exact(event).items() for one in contents}
        near = {
            _key(kind, self._leaders[kind].follow(one).hex())
            for kind, prints in _fingerprints(event, hashes).items()
            for one in prints
        }
        return exact | near


def _exact(event: Event) -> Mapping[str, list[str]]:
    digest = text_digest(plain_text(event.text))
    return {
        "text": [] if digest is None else [digest],
        "file": list(dict.fromkeys(reference.sha256 for reference in event.media)),
        "domain": list(domains(event.text)),
    }


def _fingerprints(event: Event, hashes: Sequence[ImageHashes]) -> Mapping[str, list[Fingerprint]]:
    text = text_fingerprint(plain_text(event.text))
    images = (image_fingerprint(one) for one in hashes)
    return {
        "near_text": [] if text is None else [text],
        "near_image": [one for one in images if one is not None],
    }


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
