"""Campaigns that draw their own mixture of weak signals: the variety that attackers have.

A model that knows seven recipes learns these seven. Each campaign here draws what its posts say
and show, which accounts and devices it has and when it posts, at least ENOUGH signals of at least
two modalities, and never all that a held-out recipe is made of. Added after a first model, which
had learnt from the fixed recipes alone, was seen to fail on the held-out ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from data_contracts.events import MediaReference
from pipelines.simulation.composition.campaigns import USUAL, adverts_in_stock, own_post, spam
from pipelines.simulation.composition.people import Account
from pipelines.simulation.composition.signals import MODALITY, Signal, Signals, carrying
from pipelines.simulation.composition.world import Post, World

ENOUGH = 4  # signals of a mixture; an advertisement in a picture counts as one
HELD_OUT_MIXTURES: tuple[Signals, ...] = (  # what makes each held-out recipe what it is
    carrying("advert_picture", "burst", "new_device", "foreign_network"),
    carrying("advert_picture", "copied", "shared_device", "automation"),
    carrying("offer", "advert_picture", "shared_device", "synchronous"),
    carrying("card", "copied", "offer", "shared_device"),
    carrying("offer", "copied", "text_picture", "newcomer", "burst"),
)
Choices = tuple[tuple[Signal, ...], ...]
SAYS: Choices = ((), ("link",), ("offer",), ("offer", "link"))
SHOWS: Choices = ((), ("text_picture",), ("advert_picture",), ("spam_picture",), ("card",))
WHO: Choices = ((), ("newcomer",), ("new_device",), ("shared_device",), ("shared_device", "ring"))
WHERE: Choices = ((), ("foreign_network",), ("automation",), ("foreign_network", "automation"))
WHEN: Choices = ((), ("burst",), ("synchronous",))


@dataclass(frozen=True)
class Mixture:
    """What a campaign's posts have in common; `copies` means that they share text and picture."""

    signals: Signals
    copies: bool

    def has(self, *signals: Signal) -> bool:
        return set(signals) <= self.signals


def mixed_words(world: World, count: int) -> list[Post]:
    """Something is offered in the text."""
    return _campaign(world, count, "mixed_words", lambda found: found.has("offer"))


def mixed_pictures(world: World, count: int) -> list[Post]:
    """Something is offered in a picture or a clip, under ordinary words."""
    return _campaign(
        world, count, "mixed_pictures",
        lambda found: not found.has("offer")
        and bool(found.signals & {"advert_picture", "spam_picture", "card"}),
    )  # fmt: skip


def mixed_accounts(world: World, count: int) -> list[Post]:
    """Nothing is offered that a look at one post would show; who posts, and when, does."""
    shown = {"offer", "advert_picture", "spam_picture", "card"}
    return _campaign(world, count, "mixed_accounts", lambda found: not found.signals & shown)


def draw_mixture(world: World, wanted: Callable[[Mixture], bool]) -> Mixture:
    """A mixture with enough signals of two modalities that is no held-out one."""
    while True:
        parts = [world.pick(choices) for choices in (SAYS, SHOWS, WHO, WHERE, WHEN)]
        copies = world.chance(0.4)
        signals = carrying(*(signal for part in parts for signal in part))
        signals |= carrying("copied") if copies else carrying()
        signals |= carrying("text_picture") if "advert_picture" in signals else carrying()
        found = Mixture(signals, copies)
        if _is_enough(signals) and wanted(found):
            return found


def _is_enough(signals: Signals) -> bool:
    counted = signals - {"text_picture"} if "advert_picture" in signals else signals
    modalities = {MODALITY[signal] for signal in counted}
    held_out = any(mixture <= signals for mixture in HELD_OUT_MIXTURES)
    return len(counted) >= ENOUGH and len(modalities) >= 2 and not held_out


def _campaign(
    world: World, count: int, recipe: str, wanted: Callable[[Mixture], bool]
) -> list[Post]:
    mixture, language = draw_mixture(world, wanted), world.people.language()
    pictures = _pictures(world, mixture, count, language)
    text = _text(world, mixture, language)
    posts: list[Post] = []
    for account, at in _slots(world, mixture, count, language):
        posts += _before(world, mixture, account, at, recipe)
        account = _disguised(world, mixture, account)
        said = text if mixture.copies else _text(world, mixture, language)
        shown = pictures[:1] if mixture.copies else pictures
        media = (world.pick(shown),) if shown else ()
        signals = mixture.signals - {"newcomer", "shared_device", "foreign_network", "automation"}
        posts.append(spam(account, at, said, recipe, signals, *media))
    return posts


def _text(world: World, mixture: Mixture, language: str) -> str:
    material = world.material
    parts = [material.ham(language)]
    parts += [material.halves(language).mild] if mixture.has("offer") else []
    parts += [material.link()] if mixture.has("link") else []
    return " ".join(parts)


def _pictures(world: World, mixture: Mixture, count: int, language: str) -> list[MediaReference]:
    material = world.material
    if mixture.has("advert_picture"):
        return adverts_in_stock(world, count, language)
    if mixture.has("spam_picture"):
        return [material.spam_picture() for _ in range(max(1, count // 2))]
    if mixture.has("card"):
        return [material.clip_with_card(material.advert_to_draw(language))]
    if mixture.has("text_picture"):
        return [material.words_on_photo(language) for _ in range(max(1, count // 2))]
    return []


def _slots(
    world: World, mixture: Mixture, count: int, language: str
) -> list[tuple[Account, datetime]]:
    """Who posts, and when: as many posts an account as its rhythm asks for."""
    each = 3 if mixture.has("burst") else 1
    accounts = _accounts(world, mixture, -(-count // each), language)
    within = timedelta(minutes=30)
    together = world.times(len(accounts), within) if mixture.has("synchronous") else None
    slots: list[tuple[Account, datetime]] = []
    for number, account in enumerate(accounts):
        first = together[number] if together else world.moment(account)
        gap = timedelta(minutes=float(world.rng.uniform(3, 12)))
        slots += [(account, first + gap * at) for at in range(each)]
    return slots[:count]


def _accounts(world: World, mixture: Mixture, count: int, language: str) -> list[Account]:
    people, is_new = world.people, mixture.has("newcomer")
    accounts = [
        people.account("newcomer" if is_new and world.chance(USUAL) else "person", language)
        for _ in range(count)
    ]
    if mixture.has("shared_device"):
        devices = people.devices(-(-count // 4))
        accounts = [
            account.beside(accounts[0], devices[number % len(devices)])
            for number, account in enumerate(accounts)
        ]
    return accounts


def _before(
    world: World, mixture: Mixture, account: Account, at: datetime, recipe: str
) -> list[Post]:
    """What an account that was taken over posted on its own device: ham."""
    if not mixture.has("new_device"):
        return []
    earlier = at - timedelta(hours=float(world.rng.uniform(5, 90)))
    return [own_post(world, account, max(earlier, world.start), recipe)]


def _disguised(world: World, mixture: Mixture, account: Account) -> Account:
    """A signal that the campaign has is each post's with probability USUAL."""
    if mixture.has("new_device"):
        account = account.moved(world.rng)
    if mixture.has("foreign_network") and world.chance(USUAL):
        account = account.abroad(world.rng)
    if mixture.has("automation") and world.chance(USUAL):
        account = account.by_interface()
    return account
