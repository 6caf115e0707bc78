"""The weak signals of composed traffic: what ham and attacks share, one by one.

No signal alone tells spam from ham: ordinary scenes carry each of them at a known rate, and a
recipe is a set of them that ham hardly ever carries together.
"""

from __future__ import annotations

from typing import Literal, get_args

Modality = Literal["text", "image", "video", "behaviour", "context"]
Signal = Literal[
    "advert",  # the whole text of an advertisement as caption
    "offer",  # the milder half of one
    "link",
    "spam_picture",  # a picture of the spam sets as it was sent
    "advert_picture",  # words of an advertisement drawn on a photo
    "text_picture",  # any words drawn on a photo
    "card",  # frames that do not belong to the clip
    "newcomer",  # an account younger than NEWCOMER_DAYS
    "burst",  # several posts of one account within the hour
    "new_device",
    "ring",  # accounts that follow each other
    "shared_device",
    "automation",  # posts by way of the programming interface
    "copied",  # text, picture or clip that other accounts posted, too
    "synchronous",  # several accounts within the half hour
    "foreign_network",  # an address of another country than the account's
]
SIGNALS: tuple[Signal, ...] = get_args(Signal)
Signals = frozenset[Signal]

MODALITY: dict[Signal, Modality] = {
    "advert": "text",
    "offer": "text",
    "link": "text",
    "spam_picture": "image",
    "advert_picture": "image",
    "text_picture": "image",
    "card": "video",
    "newcomer": "behaviour",
    "burst": "behaviour",
    "new_device": "behaviour",
    "ring": "behaviour",
    "shared_device": "behaviour",
    "automation": "behaviour",
    "copied": "context",
    "synchronous": "context",
    "foreign_network": "context",
}


def carrying(*signals: Signal) -> Signals:
    """A set of signals."""
    return frozenset(signals)


IN_PICTURE = carrying("advert_picture", "text_picture")
