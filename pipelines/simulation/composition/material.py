"""What the posts of one bucket are made of: texts dealt like cards, pictures, clips, links."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Generic, TypeVar

import numpy as np

from data_contracts.events import MediaKind, MediaReference
from pipelines.simulation import clips, drawing
from pipelines.simulation.composition.sources import BUCKETS, TEXT_CHARACTERS, Sources
from pipelines.simulation.composition.wording import Halves, Wording

Card = TypeVar("Card")
AGAIN_SHARE = 0.5  # of ordinary pictures: one that is popular
POPULAR_SHARE = 0.2  # of those made: ones that will be
ENOUGH_TO_DRAW = 8  # texts of a language that the fonts cover
CARD_FRAMES = (3, 5)  # frames put into a clip, of clips.FRAMES
SIGNATURES = ((b"\xff\xd8", "jpg"), (b"GIF8", "gif"), (b"\x89PNG", "png"))
HOST_WORDS = (
    "river", "corner", "garden", "market", "studio", "harbour", "lemon", "north", "paper", "pixel",
    "violet", "atlas", "cedar", "bright", "daily", "urban", "silver", "little", "green", "open",
)  # fmt: skip
HOSTS = tuple(f"{one}-{other}.example" for one, other in permutations(HOST_WORDS, 2))


@dataclass
class Deck(Generic[Card]):
    """Deals every card once in random order, then shuffles anew."""

    cards: Sequence[Card]
    rng: np.random.Generator
    _left: list[int] = field(default_factory=list)

    def deal(self) -> Card:
        """The next card; ValueError where there is none at all."""
        if not self.cards:
            raise ValueError("the deck is empty; give the bucket sources of this kind")
        if not self._left:
            self._left = self.rng.permutation(len(self.cards)).tolist()
        return self.cards[self._left.pop()]


@dataclass
class Shelf:
    """Media files by their path under the media root, each kept once."""

    files: dict[str, bytes] = field(default_factory=dict)

    def keep(self, kind: MediaKind, content: bytes) -> MediaReference:
        """Put a file on the shelf: its name is its sha256."""
        digest = hashlib.sha256(content).hexdigest()
        path = f"composed/{digest[:2]}/{digest}.{_suffix(kind, content)}"
        self.files[path] = content
        return MediaReference(kind=kind, sha256=digest, path=path)


@dataclass
class Material:
    """The sources of one bucket as decks. Media go to the shelf and come back as references."""

    bucket: int
    sources: Sources
    shelf: Shelf
    rng: np.random.Generator
    _popular: dict[str, list[MediaReference]] = field(default_factory=lambda: defaultdict(list))

    @cached_property
    def languages(self) -> list[str]:
        """Languages in which this bucket has both ham and spam."""
        both = [
            {s.language for s in self.sources.texts if s.is_spam is spam} for spam in (False, True)
        ]
        return sorted(both[0] & both[1])

    @cached_property
    def wording(self) -> Wording:
        """How spammy the words of this bucket are."""
        spam = [source.text for source in self.sources.texts if source.is_spam]
        return Wording.of(
            spam, [source.text for source in self.sources.texts if not source.is_spam]
        )

    def ham(self, language: str) -> str:
        """An ordinary text."""
        return self._texts[language, False, False].deal()

    def advert(self, language: str) -> str:
        """A text of spam, whole."""
        return self._texts[language, True, False].deal()

    def halves(self, language: str) -> Halves:
        """A text of spam, cut where neither half shows it."""
        return self.wording.halves(self.advert(language))

    def ham_to_draw(self, language: str) -> str:
        """An ordinary text that the fonts cover; English where the language has none."""
        return self._drawable(language, False).deal()

    def advert_to_draw(self, language: str) -> str:
        """A text of spam that the fonts cover."""
        return self._drawable(language, True).deal()

    def link(self) -> str:
        """A link to a host that does not exist (RFC 2606): the bucket's own, for ham and spam."""
        own = HOSTS[self.bucket :: BUCKETS]
        host = own[int(self.rng.integers(len(own)))]
        return f"https://{host}/{int(self.rng.integers(16**5)):05x}"

    def photo(self) -> MediaReference:
        """A photo without words, often one that was posted before."""
        return self._again("photo", lambda: drawing.retaken(self._photos.deal(), self.rng))

    def words_on_photo(self, language: str) -> MediaReference:
        """Ordinary words on a photo, often a picture that was posted before."""
        return self._again("words", lambda: self._drawn(self.ham_to_draw(language)))

    def advert_on_photo(self, text: str) -> MediaReference:
        """The words of an advertisement on a photo."""
        return self.picture(self._drawn(text))

    def spam_picture(self) -> MediaReference:
        """A picture of the spam sets as it was sent."""
        return self.picture(self._spam_pictures.deal())

    def clip(self) -> MediaReference:
        """An ordinary clip."""
        return self._again("clip", lambda: clips.encoded(self.frames()))

    def clip_with_card(self, text: str, *, opens: bool = False) -> MediaReference:
        """A clip with a few frames that show words; `opens`: as its title, else in its midst."""
        return self.video(self.carded(self.frames(), text, opens=opens))

    def carded(
        self, frames: Sequence[clips.Frame], text: str, *, opens: bool = False
    ) -> list[clips.Frame]:
        """Frames with a card of words put in."""
        count = int(self.rng.integers(*CARD_FRAMES, endpoint=True))
        at = 0 if opens else int(self.rng.integers(4, clips.FRAMES - count - 3))
        return clips.with_card(frames, self._drawn(text), at, count)

    def frames(self) -> list[clips.Frame]:
        """Frames of a real clip where the bucket has one, of a walk over a photo otherwise."""
        if self.sources.clips and self.rng.random() < 0.5:
            found = clips.frames_of(self._clips.deal(), self.rng)
            if len(found) == clips.FRAMES:
                return found
        return clips.panning(self._photos.deal(), self.rng)

    def picture(self, content: bytes) -> MediaReference:
        return self.shelf.keep("image", content)

    def video(self, frames: Sequence[clips.Frame]) -> MediaReference:
        return self.shelf.keep("video", clips.encoded(frames))

    def popular(self, kind: str) -> list[MediaReference]:
        """What many people post: `photo`, `words` or `clip`."""
        return self._popular[kind]

    def content(self, reference: MediaReference) -> bytes:
        """The bytes of a file on the shelf."""
        return self.shelf.files[str(reference.path)]

    def _again(self, kind: str, make: Callable[[], bytes]) -> MediaReference:
        popular = self._popular[kind]
        if popular and self.rng.random() < AGAIN_SHARE:
            return popular[int(self.rng.integers(len(popular)))]
        made = self.shelf.keep("video" if kind == "clip" else "image", make())
        if self.rng.random() < POPULAR_SHARE:
            popular.append(made)
        return made

    def _drawn(self, text: str) -> bytes:
        return drawing.drawn(text, self._photos.deal(), self.rng)

    def _drawable(self, language: str, is_spam: bool) -> Deck[str]:
        deck = self._texts[language, is_spam, True]
        return deck if len(deck.cards) >= ENOUGH_TO_DRAW else self._texts["en", is_spam, True]

    @cached_property
    def _texts(self) -> dict[tuple[str, bool, bool], Deck[str]]:
        """By language, spam or not, and whether only what the fonts cover is wanted."""
        shortest, longest = TEXT_CHARACTERS
        cards: dict[tuple[str, bool, bool], list[str]] = defaultdict(list)
        for source in self.sources.texts:
            if shortest <= len(source.text) <= longest:
                cards[source.language, source.is_spam, False].append(source.text)
                if drawing.is_drawable(source.text):
                    cards[source.language, source.is_spam, True].append(source.text)
        return defaultdict(
            lambda: Deck([], self.rng), {key: Deck(found, self.rng) for key, found in cards.items()}
        )

    @cached_property
    def _photos(self) -> Deck[bytes]:
        return self._pictures(is_spam=False)

    @cached_property
    def _spam_pictures(self) -> Deck[bytes]:
        return self._pictures(is_spam=True)

    @cached_property
    def _clips(self) -> Deck[bytes]:
        return Deck([source.content for source in self.sources.clips], self.rng)

    def _pictures(self, *, is_spam: bool) -> Deck[bytes]:
        found = [source.content for source in self.sources.pictures if source.is_spam is is_spam]
        return Deck(found, self.rng)


def _suffix(kind: MediaKind, content: bytes) -> str:
    if kind == "video":
        return "mp4"
    return next((name for start, name in SIGNATURES if content.startswith(start)), "bin")
