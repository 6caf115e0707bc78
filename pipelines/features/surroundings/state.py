"""The surroundings of an event from the platform's past, the same online and offline.

For every event in the order of arrival: `features`, then `observe`. What comes later, by the
events' own times, is in no feature.
"""

from __future__ import annotations

from itertools import chain
from threading import Lock

from data_contracts.events import Event, MediaReference
from pipelines.feature_store.states import StateStore, read_many
from pipelines.features.media.base import DecodedImage, MediaReader
from pipelines.features.media.hashes import ImageHashes, image_hashes
from pipelines.features.surroundings.contents import Content, content_of
from pipelines.features.surroundings.cross_posts import CrossPosts
from pipelines.features.surroundings.geography import Geography
from pipelines.features.surroundings.local_time import local_time
from pipelines.features.surroundings.platform_signals import platform_signals
from pipelines.features.surroundings.recognition import Recognition
from pipelines.features.surroundings.trending import ALL, Trending

REMEMBERED = 1024  # hashes of images by sha256, between `features` and `observe`


class SurroundingsState:
    """Running state in `states`, bounded for each key; `recognition` knows bad and good media.

    A store shared with another stage is safe: keys begin with what they count. Keys are never
    removed here; a store for ever needs a time to live, of a week at least. Threads may ask at
    once; one thread tells.
    """

    def __init__(self, states: StateStore, recognition: Recognition | None = None) -> None:
        self._states = states
        self._geography = Geography(states)
        self._trending = Trending(states)
        self._cross_posts = CrossPosts(states)
        self._recognition = recognition
        self._keeping = Lock()
        self._hashes: dict[str, ImageHashes | None] = {}
        self._read: tuple[Event, list[ImageHashes], Content] | None = None

    def features(self, event: Event, media: MediaReader | None) -> dict[str, float]:
        """As of the event's time, without the event; a name is absent where it is unknown."""
        hashes = self._images(event, media)
        content = self._content(event, hashes)
        rising, posted = self._trending.keys(content), self._cross_posts.keys(content)
        keys = [ALL, *self._geography.keys(event), *chain(*rising.values()), *posted.all()]
        read = read_many(self._states, keys).get
        known = self._recognition.features(event, hashes) if self._recognition else {}
        return {
            **local_time(event),
            **platform_signals(event),
            **self._geography.features(event, read),
            **self._trending.features(event, rising, read),
            **self._cross_posts.features(event, posted, read),
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
        with self._keeping:
            if reference.sha256 in self._hashes:
                return self._hashes[reference.sha256]
        image = media.image(reference)
        hashes = image_hashes(image.rgb) if isinstance(image, DecodedImage) else None
        with self._keeping:
            if len(self._hashes) >= REMEMBERED:
                self._hashes.pop(next(iter(self._hashes)))
            self._hashes[reference.sha256] = hashes
        return hashes
