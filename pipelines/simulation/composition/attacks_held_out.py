"""The campaigns of recipes that are held out of training. Each gives exactly `count` posts of spam.

They stay as they were written, before any model had scored composed traffic.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pipelines.simulation import drawing
from pipelines.simulation.composition.campaigns import (
    POSTS_EACH,
    USUAL,
    adverts_in_stock,
    established,
    newcomer,
    offer,
    own_post,
    spam,
    split_post,
    splits_in_stock,
    until_spam,
    with_signals,
)
from pipelines.simulation.composition.signals import IN_PICTURE, carrying
from pipelines.simulation.composition.world import Post, World


def hijacked_account(world: World, count: int) -> list[Post]:
    """Old accounts with posts of their own, then, from another country and device, a burst of
    advertisements in pictures under ordinary words."""
    language = world.people.language()
    stock = adverts_in_stock(world, count, language)

    def posts() -> Iterator[Post]:
        while True:
            owner = world.people.account("person", language)
            *own, theft = world.times(4, timedelta(hours=float(world.rng.uniform(48, 120))))
            yield from (own_post(world, owner, at, "hijacked_account") for at in own)
            thief = owner.moved(world.rng)
            thief = thief.abroad(world.rng) if world.chance(USUAL) else thief
            for number in range(4):
                at = theft + timedelta(minutes=number * float(world.rng.uniform(3, 12)))
                text, signals = world.material.ham(language), IN_PICTURE | carrying("burst")
                yield spam(thief, at, text, "hijacked_account", signals, world.pick(stock))

    return until_spam(posts(), count)


def slow_drip(world: World, count: int) -> list[Post]:
    """Old accounts, three to a device, each with a variant of one picture, over all the days."""
    accounts, material = established(world, count, per_device=3), world.material
    first = material.advert_on_photo(material.advert_to_draw(accounts[0].language))
    posts = []
    for account in accounts:
        account = account.by_interface() if world.chance(USUAL) else account
        variant = material.picture(drawing.varied(material.content(first), world.rng))
        text, signals = material.ham(account.language), IN_PICTURE | carrying("copied")
        posts.append(spam(account, world.moment(account), text, "slow_drip", signals, variant))
    return posts


def farm_split(world: World, count: int) -> list[Post]:
    """Advertisements in two halves, from old accounts on few devices within one half hour."""
    farm = established(world, count, per_device=6)
    stock = splits_in_stock(world, count, farm[0].language)
    posts = [
        split_post(world, account, at, world.pick(stock), "farm_split")
        for account, at in zip(farm, world.times(count, timedelta(minutes=30)), strict=True)
    ]
    return with_signals(posts, carrying("synchronous"))


def copied_clip(world: World, count: int) -> list[Post]:
    """One clip with a card, uploaded again by old accounts that share devices, each time under
    an offer of its own."""
    accounts, material = established(world, count, per_device=3), world.material
    frames, advert = material.frames(), material.advert_to_draw(accounts[0].language)
    clips = [material.video(material.carded(frames, advert)) for _ in range(-(-count // 3))]
    posts = []
    for account in accounts:
        (text, signals), at = offer(world, account.language), world.moment(account)
        signals |= carrying("card", "copied")
        posts.append(spam(account, at, text, "copied_clip", signals, world.pick(clips)))
    return posts


def borrowed_fame(world: World, count: int) -> list[Post]:
    """Newcomers post pictures that ordinary people made popular, under an offer, in a burst."""
    language, posts = world.people.language(), list[Post]()
    popular = world.material.popular("words")[:4] or [world.material.words_on_photo(language)]
    while len(posts) < count:
        account = newcomer(world, language)
        for at in world.times(POSTS_EACH, timedelta(minutes=40)):
            text, signals = offer(world, language)
            signals |= carrying("copied", "burst", "text_picture")
            posts.append(spam(account, at, text, "borrowed_fame", signals, world.pick(popular)))
    return posts[:count]
