"""The recipes of spam, each a set of weak signals: what it lacks is what it looks benign in.

| recipe | carries | looks benign in |
|---|---|---|
| plain_advert | a whole advertisement, a link | image, context (ordinary spam) |
| spam_picture | a picture of the spam sets | text, context (ordinary spam) |
| split_advert | half in the caption, half on a photo; newcomers | each half reads like an offer |
| advert_in_picture | an advertisement on a photo, from bought accounts | text, account age |
| device_farm | many accounts, few devices, one half hour | text, image, account age |
| cross_posted | one clean text with a link from many newcomers | text, image, devices |
| good_words | a lure among ordinary words, throwaway accounts | text by its words, image |
| inserted_frames | a card in the midst of an ordinary clip | text, first frames |
| admirers | offers in a ring that shares devices | image, rhythm, account age |
| mixed_words | an offer in the text, and others drawn a campaign | what was not drawn |
| mixed_pictures | an offer in a picture or clip, and others drawn a campaign | what was not drawn |
| mixed_accounts | who posts and when, drawn a campaign | text, image |
| hijacked_account * | an old account, suddenly fast, elsewhere; words on a photo | text, age |
| slow_drip * | old accounts on shared devices, variants of one picture | text, rhythm |
| farm_split * | an advertisement in two halves from a farm of old accounts | age, each half |
| copied_clip * | one clip with a card, re-uploaded from shared devices | text, age, rhythm |
| borrowed_fame * | a picture that people made popular, under an offer | image, devices |

Those with a star are held out of training. They were named before any model had scored composed
traffic and are not changed to suit one; the mixed ones were added to the training after that. They
use signals that training recipes use, in sets that none of those has. How close to benign a single
modality looks is a choice of this simulation and says nothing about real attackers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipelines.simulation.composition import attacks, attacks_held_out, attacks_mixed
from pipelines.simulation.composition.signals import Signals, carrying
from pipelines.simulation.composition.world import Post, World


class Recipe(NamedTuple):
    """`campaign(world, count)` gives exactly `count` posts of spam (ham around them comes extra).

    `signals` are what a post may carry beside what ordinary posts add; `is_ordinary` marks spam
    that one modality shows.
    """

    name: str
    signals: Signals
    campaign: Callable[[World, int], list[Post]]
    held_out: bool = False
    is_ordinary: bool = False


RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "plain_advert",
        carrying("advert", "link", "newcomer"),
        attacks.plain_advert,
        is_ordinary=True,
    ),
    Recipe(
        "spam_picture",
        carrying("spam_picture", "newcomer"),
        attacks.spam_picture,
        is_ordinary=True,
    ),
    Recipe(
        "split_advert",
        carrying("offer", "advert_picture", "text_picture", "newcomer", "foreign_network"),
        attacks.split_advert,
    ),
    Recipe(
        "advert_in_picture",
        carrying("advert_picture", "text_picture", "automation", "new_device"),
        attacks.advert_in_picture,
    ),
    Recipe("device_farm", carrying("shared_device", "synchronous", "ring"), attacks.device_farm),
    Recipe(
        "cross_posted", carrying("copied", "link", "newcomer", "burst"), attacks.cross_posted
    ),
    Recipe(
        "good_words",
        carrying("offer", "link", "newcomer", "foreign_network"),
        attacks.good_words,
    ),
    Recipe(
        "inserted_frames", carrying("card", "newcomer", "burst"), attacks.inserted_frames
    ),
    Recipe("admirers", carrying("offer", "link", "ring", "shared_device"), attacks.admirers),
    Recipe("mixed_words", carrying("offer"), attacks_mixed.mixed_words),
    Recipe("mixed_pictures", carrying(), attacks_mixed.mixed_pictures),
    Recipe("mixed_accounts", carrying(), attacks_mixed.mixed_accounts),
    Recipe(
        "hijacked_account",
        carrying("advert_picture", "text_picture", "burst", "new_device", "foreign_network"),
        attacks_held_out.hijacked_account,
        held_out=True,
    ),
    Recipe(
        "slow_drip",
        carrying("advert_picture", "text_picture", "copied", "shared_device", "automation"),
        attacks_held_out.slow_drip,
        held_out=True,
    ),
    Recipe(
        "farm_split",
        carrying("offer", "advert_picture", "text_picture", "shared_device", "synchronous"),
        attacks_held_out.farm_split,
        held_out=True,
    ),
    Recipe(
        "copied_clip",
        carrying("card", "copied", "offer", "link", "shared_device"),
        attacks_held_out.copied_clip,
        held_out=True,
    ),
    Recipe(
        "borrowed_fame",
        carrying("offer", "link", "copied", "text_picture", "newcomer", "burst"),
        attacks_held_out.borrowed_fame,
        held_out=True,
    ),
)  # fmt: skip

ORDINARY_SPAM = tuple(recipe.name for recipe in RECIPES if recipe.is_ordinary)
TRAINING = tuple(r.name for r in RECIPES if not r.held_out and not r.is_ordinary)
HELD_OUT = tuple(recipe.name for recipe in RECIPES if recipe.held_out)


def recipe(name: str, known: Sequence[Recipe] = RECIPES) -> Recipe:
    """The recipe of that name; ValueError that lists the known ones for any other."""
    for found in known:
        if found.name == name:
            return found
    raise ValueError(f"recipe {name!r} is none of {', '.join(r.name for r in known)}")
