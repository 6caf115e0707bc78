"""The surroundings of an event from the platform's past, the same online and offline.

For every event in the order of arrival: `features`, then `observe`. What comes later, by the
events' own times, is in no feature.
"""

from __future__ import annotations

from collections.abc import Iterator

from data_contracts.events import Event, MediaReference
from pipelines.feature_store.states import StateStore, announce
from pipelines.features.media.base import DecodedImage, MediaReader
from pipelines.features.media.hashes import ImageHashes, image_hashes
from pipelines.features.surroundings.contents import Content, content_of
from pipelines.features.surroundings.cross_posts import CrossPosts
from pipelines.features.surroundings.geography import Geography
from pipelines.features.surroundings.local_time import local_time
from pipelines.features.surroundings.platform_signals import platform_signals
from pipelines.features.surroundings.recognition import Recognition
from pipelines.features.surroundings.trending import Trending

REMEMBERED = 1024  # hashes of images by sha256, between `features` and `observe`


class SurroundingsState:
    """Running state in `states`, bounded for each key; `recognition` knows bad and good media.

    A store shared with another stage is safe: keys begin with what they count. Keys are never
    removed here; a store for ever needs a time to live, of a week at least.
    """

    def __init__(self, states: StateStore, recognition: Recognition | None = None) -> None:
        self._states = states
        self._geography = Geography(states)
        self._trending = Trending(states)
        self._cross_posts = CrossPosts(states)
        self._recognition = recognition
        self._hashes: dict[str, ImageHashes | None] = {}
        self._read: tuple[Event, list[ImageHashes], Content] | None = None

    def features(self, event: Event, media: MediaReader | None) -> dict[str, float]:
        """As of the event's time, without the event; a name is absent where it is unknown."""
        hashes = self._images(event, media)
        content = self._content(event, hashes)
        announce(self._states, self._keys(event, content))
        known = self._recognition.features(event, hashes) if self._recognition else {}
        return {
            **local_time(event),
            **platform_signals(event),
            **self._geography.features(event),
            **self._trending.features(event, content),
            **self._cross_posts.features(event, content),
            **known,
        }

    def observe(self, event: Event, media: MediaReader | None) -> None:
        """Count the event for those that follow."""
        hashes = self._images(event, media)
        content = self._content(event, hashes)
        self._geography.observe(event)
        self._trending.observe(event, content)
        self._cross_posts.observe(event, content)
        if self._recognition:
            self._recognition.observe(event, hashes)

    def _keys(self, event: Event, content: Content) -> Iterator[str]:
        """What is read first, in one round trip where the store can."""
        yield from self._geography.keys(event)
        yield from self._trending.keys(content)
        yield from self._cross_posts.keys(content)

    def _content(self, event: Event, hashes: list[ImageHashes]) -> Content:
        """Kept from `features` until the `observe` that follows it."""
        read = self._read
        if read is None or read[0] is not event or read[1] != hashes:
            read = self._read = event, hashes, content_of(event, hashes)
        return read[2]

    def _images(self, event: Event, media: MediaReader | None) -> list[ImageHashes]:
        """Of the images that can be read."""
        if media is None:
            return []
        found = [self._hashed(one, media) for one in event.media if one.kind == "image"]
        return [hashes for hashes in found if hashes is not None]

    def _hashed(self, reference: MediaReference, media: MediaReader) -> ImageHashes | None:
        if reference.sha256 not in self._hashes:
            if len(self._hashes) >= REMEMBERED:
                self._hashes.pop(next(iter(self._hashes)))
            image = media.image(reference)
            hashes = image_hashes(image.rgb) if isinstance(image, DecodedImage) else None
            self._hashes[reference.sha256] = hashes
        return self._hashes[reference.sha256]
