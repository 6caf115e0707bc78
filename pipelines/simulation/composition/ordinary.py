"""Ordinary life: scenes of ham that carry each weak signal of the attacks, one or two at a time.

A shop's offer is built of the same words as a lure, a school class looks like a device farm, a
traveller like a hijacked account, a warning shows the very picture that it warns of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from data_contracts.events import MediaReference
from pipelines.simulation.composition.people import Account
from pipelines.simulation.composition.signals import IN_PICTURE, Signals, carrying
from pipelines.simulation.composition.sources import ProfileKind
from pipelines.simulation.composition.world import Post, World

NEWCOMER_SHARE = 0.1
TRAVELLER_SHARE = 0.12
SAYS_AGAIN_SHARE = 0.03  # of everyday posts: somebody forwards an offer
LINK_SHARE = 0.1


class Scene(NamedTuple):
    """`play` gives the posts; `weight` is how often the scene is played, of all."""

    name: str
    weight: float
    play: Callable[[World], list[Post]]


def ordinary_life(world: World, count: int) -> list[list[Post]]:
    """Scenes with exactly `count` posts of ham in all."""
    plays: list[list[Post]] = []
    weights = [scene.weight for scene in SCENES]
    shares = [weight / sum(weights) for weight in weights]
    while (missing := count - sum(len(play) for play in plays)) > 0:
        scene = SCENES[int(world.rng.choice(len(SCENES), p=shares))]
        plays.append(scene.play(world)[:missing])
    return plays


def somebody(world: World, language: str | None = None) -> Account:
    """An ordinary account: one in ten is new, some are publishers of their own."""
    kind: ProfileKind = "newcomer" if world.chance(NEWCOMER_SHARE) else "person"
    return world.people.ordinary(kind, language)


def everyday(world: World) -> list[Post]:
    """One account's posts over the days; on the way somewhere, it has another network, too."""
    account = somebody(world)
    count = 1 + int(world.rng.geometric(0.3))
    times = sorted(world.moment(account) for _ in range(count))
    leaves = int(world.rng.integers(1, count)) if world.chance(TRAVELLER_SHARE) else count
    away = account.moved(world.rng).abroad(world.rng)
    return [
        _everyday_post(world, away if number >= leaves else account, at)
        for number, at in enumerate(times)
    ]


def _everyday_post(world: World, account: Account, at: datetime) -> Post:
    text, signals = world.material.ham(account.language), carrying()
    if world.chance(SAYS_AGAIN_SHARE):
        text = f"{text} {world.material.halves(account.language).mild}"
        signals |= carrying("offer")
    if world.chance(LINK_SHARE):
        text, signals = f"{text} {world.material.link()}", signals | carrying("link")
    media, shown = some_media(world, account)
    return Post(account, at, text, "everyday", signals | shown, media)


def some_media(
    world: World, account: Account, share: float = 0.25
) -> tuple[tuple[MediaReference, ...], Signals]:
    """What people add to a post: mostly nothing, a photo, words on a photo, now and then a clip."""
    material = world.material
    if not world.chance(share):
        return (), carrying()
    draw = world.rng.random()
    if draw < 0.46:
        return (material.photo(),), carrying()
    if draw < 0.9:
        return (material.words_on_photo(account.language),), carrying("text_picture")
    if draw < 0.96:
        return (material.clip(),), carrying()
    clip = material.clip_with_card(material.ham_to_draw(account.language), opens=world.chance(0.5))
    return (clip,), carrying("card")


def shop(world: World) -> list[Post]:
    """A business with offers, links and flyers, mostly by a scheduling tool."""
    account = somebody(world)
    account = account.by_interface() if world.chance(0.6) else account
    times = sorted(world.moment(account) for _ in range(int(world.rng.integers(2, 7))))
    return [_shop_post(world, account, at) for at in times]


def _shop_post(world: World, account: Account, at: datetime) -> Post:
    text, signals = f"{world.material.ham(account.language)} ", carrying("offer")
    text += world.material.halves(account.language).mild
    if world.chance(0.6):
        text, signals = f"{text} {world.material.link()}", signals | carrying("link")
    if world.chance(0.4):
        return Post(account, at, text, "shop", signals | IN_PICTURE, (_flyer(world, account),))
    return Post(account, at, text, "shop", signals)


def flyer(world: World) -> list[Post]:
    """One flyer of a sale or a fair, shared by a few people with words of their own."""
    language = world.people.language()
    accounts = [somebody(world, language) for _ in range(int(world.rng.integers(2, 6)))]
    picture = _flyer(world, accounts[0])
    times = world.times(len(accounts), timedelta(hours=float(world.rng.uniform(2, 72))))
    return [
        Post(
            account, at, world.material.ham(language), "flyer",
            IN_PICTURE, (picture,),
        )
        for account, at in zip(accounts, times, strict=True)
    ]  # fmt: skip


def _flyer(world: World, account: Account) -> MediaReference:
    advert = world.material.advert_to_draw(account.language)
    halves = world.material.wording.halves(advert)
    return world.material.advert_on_photo(advert if world.chance(0.3) else halves.other)


def newsroom(world: World) -> list[Post]:
    """Publishers that post the same news within minutes, with a link, by a scheduling tool."""
    language = world.people.language()
    outlets = [
        world.people.account("publisher", language).by_interface()
        for _ in range(int(world.rng.integers(1, 4)))
    ]
    posts = []
    for _ in range(int(world.rng.integers(2, 6))):
        text = f"{world.material.ham(language)} {world.material.link()}"
        media, shown = some_media(world, outlets[0], share=0.4)
        signals = shown | carrying("link")
        if len(outlets) > 1:
            signals |= carrying("synchronous")
        times = world.times(len(outlets), timedelta(minutes=20))
        posts += [
            Post(outlet, at, text, "newsroom", signals, media)
            for outlet, at in zip(outlets, times, strict=True)
        ]
    return posts


def viral(world: World) -> list[Post]:
    """A joke or a chain letter that people of all kinds pass on within hours or days."""
    language = world.people.language()
    accounts = [somebody(world, language) for _ in range(int(world.rng.integers(4, 12)))]
    text = world.material.ham(language)
    text = f"{text} {world.material.link()}" if (linked := world.chance(0.3)) else text
    media, shown = some_media(world, accounts[0], share=0.6)
    times = world.times(len(accounts), timedelta(hours=float(world.rng.uniform(0.5, 48))))
    return [
        Post(account, at, text, "viral", shown | ({"link"} if linked else carrying()), media)
        for account, at in zip(accounts, times, strict=True)
    ]


def enthusiast(world: World) -> list[Post]:
    """One account that posts through a match or a concert."""
    account = somebody(world)
    times = world.times(int(world.rng.integers(5, 10)), timedelta(hours=1))
    posts = []
    for at in times:
        media, shown = some_media(world, account, share=0.3)
        text = world.material.ham(account.language)
        posts.append(Post(account, at, text, "enthusiast", shown | carrying("burst"), media))
    return posts


def school_class(world: World) -> list[Post]:
    """Classmates at a few school devices who post within the half hour and know each other."""
    language = world.people.language()
    devices = world.people.devices(int(world.rng.integers(2, 5)))
    school = world.people.account("person", language)
    pupils = [
        somebody(world, language).beside(school, world.pick(devices))
        for _ in range(int(world.rng.integers(6, 13)))
    ]
    picture = world.material.words_on_photo(language) if world.chance(0.3) else None
    times = world.times(len(pupils), timedelta(minutes=30))
    posts = []
    for pupil, at in zip(pupils, times, strict=True):
        media, shown = some_media(world, pupil)
        if picture is not None:
            media, shown = (picture,), carrying("text_picture")
        text = world.material.ham(language)
        signals = shown | carrying("synchronous", "ring")
        posts.append(Post(pupil, at, text, "school_class", signals, media))
    return posts


def club(world: World) -> list[Post]:
    """Friends who follow each other and post in their own time; now and then one sells."""
    language = world.people.language()
    friends = [somebody(world, language) for _ in range(int(world.rng.integers(4, 9)))]
    posts = []
    for friend in friends:
        post = _everyday_post(world, friend, world.moment(friend))
        posts.append(replace(post, recipe="club", signals=post.signals | carrying("ring")))
    return posts


def warning(world: World) -> list[Post]:
    """Somebody shows what was sent to them: quoted, as a screenshot, or the picture itself."""
    account = somebody(world)
    material, at = world.material, world.moment(account)
    remark, draw = material.ham(account.language), world.rng.random()
    if draw < 0.4:
        text = f"{remark} “{material.advert(account.language)}”"
        return [Post(account, at, text, "warning", carrying("advert"))]
    if draw < 0.75:
        shown = material.advert_on_photo(material.advert_to_draw(account.language))
        signals = IN_PICTURE
        return [Post(account, at, remark, "warning", signals, (shown,))]
    picture = (material.spam_picture(),)
    return [Post(account, at, remark, "warning", carrying("spam_picture"), picture)]


SCENES = (
    Scene("everyday", 0.62, everyday),
    Scene("shop", 0.06, shop),
    Scene("flyer", 0.03, flyer),
    Scene("newsroom", 0.03, newsroom),
    Scene("viral", 0.06, viral),
    Scene("enthusiast", 0.04, enthusiast),
    Scene("school_class", 0.03, school_class),
    Scene("club", 0.05, club),
    Scene("warning", 0.08, warning),
)
