"""Attacks on where the message stands: on a picture, or half on a picture and half in the caption.

Drawing is the simulation's (`pipelines.simulation.drawing`), with its layouts and fonts, so a model
trained on composed traffic has seen pictures of the kind. Chinese is out of reach: no font here
has its signs. A link on a picture cannot be followed, only typed.
"""

from __future__ import annotations

import math
import textwrap

import numpy as np

from data_contracts.events import MAX_MEDIA, Event
from evaluation.attacks.base import Family, fitting
from evaluation.attacks.media import reference
from evaluation.attacks.words import ordinary_sentences
from pipelines.perturbations.base import check_rate
from pipelines.simulation.drawing import drawn, is_drawable, jpeg

MOST_PICTURES = 4
PICTURE_CHARACTERS = 120  # that every layout has room for
FEWEST_WORDS = 4  # of a message that can be split
SPLIT_SHARE = 0.5  # of the words, on the picture at the greatest strength
ORDINARY_CAPTIONS = 0.5
BACKDROP_SIDE = 360


class TextInImage:
    """Write the whole message on a picture, and take `strength` of its words out of the caption.

    What is left of the caption is followed by an ordinary sentence, or by nothing. Fumera, Pillai
    & Roli 2006, "Spam Filtering Based On The Analysis Of Text Information Embedded Into Images"
    (Journal of Machine Learning Research 7).
    """

    name = "text_in_image"
    family: Family = "layout"

    def applies_to(self, event: Event) -> bool:
        return _can_be_drawn(event, fewest_words=1)

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        if not self.applies_to(event):
            return event
        words = event.text.split()
        kept = words[: len(words) - math.ceil(check_rate(strength) * len(words))]
        if rng.random() < ORDINARY_CAPTIONS:
            sentences = ordinary_sentences(event)
            kept.append(sentences[int(rng.integers(len(sentences)))])
        return _with_pictures(event, " ".join(kept), event.text, rng)


class SplitMessage:
    """Leave the first words in the caption and write the others on a picture: neither tells all.

    At the greatest strength the picture has half of the words. Kiela et al. 2020, "The Hateful
    Memes Challenge" (NeurIPS): where the meaning is in neither modality alone.
    """

    name = "split_message"
    family: Family = "layout"

    def applies_to(self, event: Event) -> bool:
        return _can_be_drawn(event, FEWEST_WORDS)

    def disguise(self, event: Event, strength: float, rng: np.random.Generator) -> Event:
        if not self.applies_to(event):
            return event
        words = event.text.split()
        place = len(words) - math.ceil(check_rate(strength) * SPLIT_SHARE * len(words))
        return _with_pictures(event, " ".join(words[:place]), " ".join(words[place:]), rng)


def _can_be_drawn(event: Event, fewest_words: int) -> bool:
    return (
        len(event.media) + MOST_PICTURES <= MAX_MEDIA
        and len(event.text) <= MOST_PICTURES * PICTURE_CHARACTERS
        and len(_parts(event.text)) <= MOST_PICTURES
        and len(event.text.split()) >= fewest_words
        and is_drawable(event.text)
    )


def _with_pictures(event: Event, caption: str, message: str, rng: np.random.Generator) -> Event:
    pictures = [drawn(part, _backdrop(rng), rng) for part in _parts(message)]
    media = (*event.media, *(reference("image", picture) for picture in pictures))
    return fitting(event, event.model_copy(update={"text": caption, "media": media}))


def _parts(message: str) -> list[str]:
    """The message in order, a part for each picture."""
    return textwrap.wrap(message, PICTURE_CHARACTERS)


def _backdrop(rng: np.random.Generator) -> bytes:
    """Soft colours, as of a picture out of focus, in JPEG."""
    from PIL import Image

    blocks = rng.integers(60, 200, (3, 4, 3)).astype(np.uint8)
    size = (BACKDROP_SIDE, BACKDROP_SIDE * 3 // 4)
    return jpeg(Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC))
