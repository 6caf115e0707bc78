"""What campaigns are made of: accounts by the dozen, advertisements in stock, posts of spam.

A signal that an attack can do without is there with probability USUAL, so that no single one
marks its recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from data_contracts.events import MediaReference
from pipelines.simulation.composition.ordinary import some_media
from pipelines.simulation.composition.people import Account
from pipelines.simulation.composition.signals import IN_PICTURE, Signals, carrying
from pipelines.simulation.composition.world import Post, World

USUAL = 0.85
POSTS_EACH = 2  # of one throwaway account
STOCK_SHARE = 0.6  # advertisements drawn for a campaign, of its posts


class Split(NamedTuple):
    """An advertisement in two: the milder half for a caption, the other half on a photo."""

    caption: str
    picture: MediaReference


def spam(
    account: Account,
    at: datetime,
    text: str,
    recipe: str,
    signals: Signals,
    *media: MediaReference,
) -> Post:
    return Post(account, at, text, recipe, signals, media, "spam")


def own_post(world: World, account: Account, at: datetime, recipe: str) -> Post:
    """What the account's owner posted before it was sold or stolen: ham."""
    media, shown = some_media(world, account)
    return Post(account, at, world.material.ham(account.language), recipe, shown, media)


def alone(
    world: World,
    count: int,
    newcomers: float,
    post: Callable[[Account, datetime], Post],
    *,
    foreign: float = 0.0,
) -> list[Post]:
    """`count` posts of accounts that post POSTS_EACH times each, with no tie between them."""
    language, posts = world.people.language(), list[Post]()
    while len(posts) < count:
        account = newcomer(world, language, newcomers)
        account = account.abroad(world.rng) if world.chance(foreign) else account
        posts += [post(account, world.moment(account)) for _ in range(POSTS_EACH)]
    return posts[:count]


def newcomer(world: World, language: str, share: float = USUAL) -> Account:
    """A new account with that probability, else an established one."""
    return world.people.account("newcomer" if world.chance(share) else "person", language)


def established(world: World, count: int, per_device: int) -> list[Account]:
    """Old accounts in one place, about `per_device` of them to each device."""
    language = world.people.language()
    accounts = [world.people.account("person", language) for _ in range(count)]
    devices = world.people.devices(-(-count // per_device))
    return [
        account.beside(accounts[0], devices[number % len(devices)])
        for number, account in enumerate(accounts)
    ]


def adverts_in_stock(world: World, count: int, language: str) -> list[MediaReference]:
    """Advertisements on photos, for `count` posts."""
    material = world.material
    return [material.advert_on_photo(material.advert_to_draw(language)) for _ in _stock(count)]


def splits_in_stock(world: World, count: int, language: str) -> list[Split]:
    """Advertisements in two, for `count` posts."""
    material = world.material
    halves = [material.wording.halves(material.advert_to_draw(language)) for _ in _stock(count)]
    return [Split(half.mild, material.advert_on_photo(half.other)) for half in halves]


def offer(world: World, language: str) -> tuple[str, Signals]:
    """Ordinary words, then the milder half of an advertisement, usually with a link."""
    material = world.material
    text = f"{material.ham(language)} {material.halves(language).mild}"
    if not world.chance(USUAL):
        return text, carrying("offer")
    return f"{text} {material.link()}", carrying("offer", "link")


def split_post(world: World, account: Account, at: datetime, split: Split, recipe: str) -> Post:
    """Both halves in one post, the caption after ordinary words."""
    text = f"{world.material.ham(account.language)} {split.caption}"
    return spam(account, at, text, recipe, IN_PICTURE | carrying("offer"), split.picture)


def with_signals(posts: Sequence[Post], signals: Signals) -> list[Post]:
    return [replace(post, signals=post.signals | signals) for post in posts]


def until_spam(posts: Iterator[Post], count: int) -> list[Post]:
    """The posts up to and with the spam number `count`; ham among them comes extra."""
    kept: list[Post] = []
    while sum(post.label == "spam" for post in kept) < count:
        kept.append(next(posts))
    return kept


def moved_together(world: World, posts: Sequence[Post], within: timedelta) -> list[Post]:
    """The posts moved into one span; the gaps between an account's own posts stay."""
    first, shift = world.begin(within), dict[str, timedelta]()
    for post in posts:
        place = first + timedelta(seconds=float(world.rng.uniform(0, within.total_seconds())))
        shift.setdefault(post.account.name, place - post.at)
    return [replace(post, at=post.at + shift[post.account.name]) for post in posts]


def link_signal(linked: bool) -> Signals:
    return carrying("link") if linked else carrying()


def _stock(count: int) -> range:
    return range(max(1, round(count * STOCK_SHARE)))
