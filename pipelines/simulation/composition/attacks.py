"""The campaigns of training recipes. Each gives exactly `count` posts of spam."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from pipelines.simulation.composition.campaigns import (
    POSTS_EACH,
    USUAL,
    adverts_in_stock,
    alone,
    established,
    link_signal,
    moved_together,
    newcomer,
    offer,
    own_post,
    spam,
    split_post,
    splits_in_stock,
    until_spam,
)
from pipelines.simulation.composition.ordinary import some_media
from pipelines.simulation.composition.people import Account
from pipelines.simulation.composition.signals import IN_PICTURE, carrying
from pipelines.simulation.composition.world import Post, World


def plain_advert(world: World, count: int) -> list[Post]:
    """Ordinary spam: the advertisement as text, half with a link, from accounts of all ages."""

    def post(account: Account, at: datetime) -> Post:
        text, linked = world.material.advert(account.language), world.chance(0.5)
        text = f"{text} {world.material.link()}" if linked else text
        return spam(account, at, text, "plain_advert", link_signal(linked) | carrying("advert"))

    return alone(world, count, 0.5, post)


def spam_picture(world: World, count: int) -> list[Post]:
    """Ordinary image spam: a clean caption under a picture of the spam sets."""

    def post(account: Account, at: datetime) -> Post:
        text, picture = world.material.ham(account.language), world.material.spam_picture()
        return spam(account, at, text, "spam_picture", carrying("spam_picture"), picture)

    return alone(world, count, 0.5, post)


def split_advert(world: World, count: int) -> list[Post]:
    """The milder half after ordinary words, the other half on a photo; new, elsewhere."""
    stock = splits_in_stock(world, count, world.people.language())

    def post(account: Account, at: datetime) -> Post:
        return split_post(world, account, at, world.pick(stock), "split_advert")

    return alone(world, count, USUAL, post, foreign=USUAL)


def advert_in_picture(world: World, count: int) -> list[Post]:
    """A whole advertisement on a photo, posted by a tool from old accounts that were bought.

    Each account posts an ordinary text of its own before it is sold.
    """
    language = world.people.language()
    stock = adverts_in_stock(world, count, language)

    def posts() -> Iterator[Post]:
        while True:
            account = world.people.account("person", language)
            span = timedelta(hours=float(world.rng.uniform(20, 90)))
            before, *after = world.times(1 + POSTS_EACH, span)
            yield own_post(world, account, before, "advert_in_picture")
            account = account.moved(world.rng) if world.chance(USUAL) else account
            account = account.by_interface() if world.chance(USUAL) else account
            for at in after:
                text, picture = world.material.ham(language), world.pick(stock)
                yield spam(account, at, text, "advert_in_picture", IN_PICTURE, picture)

    return until_spam(posts(), count)


def device_farm(world: World, count: int) -> list[Post]:
    """Ordinary posts of established accounts on one or two devices, all in one half hour."""
    farm = established(world, count, per_device=6)
    posts = []
    for account, at in zip(farm, world.times(count, timedelta(minutes=30)), strict=True):
        media, shown = some_media(world, account)
        text, signals = (
            world.material.ham(account.language),
            shown | carrying("synchronous", "ring"),
        )
        posts.append(spam(account, at, text, "device_farm", signals, *media))
    return posts


def cross_posted(world: World, count: int) -> list[Post]:
    """One clean text with one link, by many newcomers on devices of their own, within hours."""
    language = world.people.language()
    text = f"{world.material.ham(language)} {world.material.link()}"
    media, shown = some_media(world, newcomer(world, language), share=0.6)
    signals = shown | carrying("link", "burst")
    posts: list[Post] = []
    while len(posts) < count:
        account = newcomer(world, language)
        times = world.times(POSTS_EACH, timedelta(minutes=20))
        posts += [spam(account, at, text, "cross_posted", signals, *media) for at in times]
    return moved_together(world, posts[:count], timedelta(hours=8))


def good_words(world: World, count: int) -> list[Post]:
    """A lure between two ordinary texts, with a link, from throwaway accounts elsewhere."""

    def post(account: Account, at: datetime) -> Post:
        material, linked = world.material, world.chance(USUAL)
        lure = material.halves(account.language).other
        parts = [material.ham(account.language), lure, material.ham(account.language)]
        text = " ".join([*parts, material.link()] if linked else parts)
        return spam(account, at, text, "good_words", link_signal(linked) | carrying("offer"))

    return alone(world, count, USUAL, post, foreign=USUAL)


def inserted_frames(world: World, count: int) -> list[Post]:
    """An ordinary caption and clip with an advertisement in a few of its frames, in a burst."""
    language, posts = world.people.language(), list[Post]()
    while len(posts) < count:
        account = newcomer(world, language)
        clip = world.material.clip_with_card(world.material.advert_to_draw(language))
        for at in world.times(3, timedelta(minutes=40)):
            text = world.material.ham(language)
            signals = carrying("card", "burst")
            posts.append(spam(account, at, text, "inserted_frames", signals, clip))
    return posts[:count]


def admirers(world: World, count: int) -> list[Post]:
    """Offers with a link, in people's own time, in a ring that likes itself on few devices."""
    posts = []
    for account in established(world, count, per_device=4):
        text, signals = offer(world, account.language)
        media, shown = some_media(world, account)
        signals |= shown | carrying("ring")
        posts.append(spam(account, world.moment(account), text, "admirers", signals, *media))
    return posts
