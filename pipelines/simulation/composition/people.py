"""The accounts of composed traffic: profiles of the account sets, with language, place, device.

Newcomers and established accounts of ham and of attacks are drawn from the same rows; which of
the two an account is, is the only difference, and a recipe states its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from data_contracts.events import ContextValue
from pipelines.simulation.composition.signals import Signals, carrying
from pipelines.simulation.composition.sources import Profile, ProfileKind

NEWCOMER_DAYS = 30.0
LANGUAGE_SHARES = {"en": 0.28, "tr": 0.1, "zh": 0.22, "de": 0.2, "fr": 0.2}  # as texts are there
PLACES: dict[str, tuple[tuple[str, int], ...]] = {  # country, minutes ahead of UTC in January
    "en": (("GB", 0), ("US", -300), ("US", -480), ("IN", 330), ("AU", 600)),
    "tr": (("TR", 180), ("DE", 60)),
    "zh": (("CN", 480), ("SG", 480), ("TW", 480)),
    "de": (("DE", 60), ("AT", 60), ("CH", 60)),
    "fr": (("FR", 60), ("BE", 60), ("CA", -300)),
}
ELSEWHERE = ("NL", "US", "VN", "BR", "RO", "SG", "TH", "ES")  # networks of travellers and of VPNs
CLIENTS = ("ios",) * 3 + ("android",) * 4 + ("web",) * 2
FOREIGN_SHARE = 0.07  # ordinary accounts behind a network of another country
FAMILY_SHARE, PUBLIC_SHARE = 0.12, 0.08  # of ordinary accounts: a family's device, a café's
PUBLIC_DEVICES = 3  # of a bucket: a café, a library, a school


@dataclass(frozen=True)
class Account:
    """One account as the platform knows it; `posts` before the first composed day."""

    name: str
    language: str
    country: str
    utc_offset_minutes: int
    created_at: datetime
    followers: int
    following: int
    posts: int
    verified: bool
    has_avatar: bool
    bio_length: int
    device: str
    client: str
    ip_country: str
    signals: Signals = frozenset()

    def context(self) -> dict[str, ContextValue]:
        """The signals that platform services send along with each of its posts."""
        return {
            "account_created_at": self.created_at.isoformat(),
            "followers": self.followers,
            "following": self.following,
            "verified": self.verified,
            "has_avatar": self.has_avatar,
            "bio_length": self.bio_length,
            "device": self.device,
            "client": self.client,
            "country": self.country,
            "ip_country": self.ip_country,
            "utc_offset_minutes": self.utc_offset_minutes,
        }

    def beside(self, other: Account, device: str) -> Account:
        """The same account where another one lives, on a device that both of them may use."""
        is_foreign = "foreign_network" in self.signals
        return replace(
            self,
            country=other.country,
            utc_offset_minutes=other.utc_offset_minutes,
            ip_country=self.ip_country if is_foreign else other.country,
            device=device,
            client=client_of(device),
            signals=self.signals | {"shared_device"},
        )

    def by_interface(self) -> Account:
        """The same account, posting by way of the programming interface."""
        return replace(self, client="api", signals=self.signals | {"automation"})

    def abroad(self, rng: np.random.Generator) -> Account:
        """The same account behind a network of another country."""
        elsewhere = [country for country in ELSEWHERE if country != self.country]
        country = elsewhere[int(rng.integers(len(elsewhere)))]
        return replace(self, ip_country=country, signals=self.signals | {"foreign_network"})

    def moved(self, rng: np.random.Generator) -> Account:
        """The same account on a device of its own that it never used."""
        device = fingerprint(rng)
        signals = self.signals - {"shared_device"} | carrying("new_device")
        return replace(self, device=device, client=client_of(device), signals=signals)


@dataclass
class Population:
    """Makes accounts of one bucket. `homes` are ordinary accounts whose device a family shares."""

    profiles: Mapping[ProfileKind, Sequence[Profile]]
    languages: Sequence[str]
    start: datetime
    rng: np.random.Generator
    homes: list[Account] = field(default_factory=list)
    public: list[Account] = field(default_factory=list)

    def account(self, kind: ProfileKind, language: str | None = None) -> Account:
        """An account with a device and a network of its own."""
        rng = self.rng
        profile = self.profiles[kind][int(rng.integers(len(self.profiles[kind])))]
        language = language or self.language()
        places = PLACES.get(language, PLACES["en"])
        country, offset = places[int(rng.integers(len(places)))]
        newcomer, device = kind == "newcomer", fingerprint(rng)
        days = rng.uniform(0.2, NEWCOMER_DAYS) if newcomer else profile.age_days + NEWCOMER_DAYS
        posts = min(profile.posts, int(days)) if newcomer else profile.posts
        return Account(
            name=f"account-{fingerprint(rng)}",
            language=language,
            country=country,
            utc_offset_minutes=offset,
            created_at=self.start - timedelta(seconds=int(days * 86_400)),
            followers=_near(profile.followers, rng),
            following=_near(profile.following, rng),
            posts=_near(posts, rng),
            verified=kind == "publisher" and bool(rng.random() < 0.3),
            has_avatar=profile.has_avatar,
            bio_length=_near(profile.bio_length, rng),
            device=device,
            client=client_of(device),
            ip_country=country,
            signals=carrying("newcomer") if newcomer else carrying(),
        )

    def ordinary(self, kind: ProfileKind, language: str | None = None) -> Account:
        """An account of everyday life: some share a device, some have a foreign network."""
        account = self.account(kind, language)
        if self.rng.random() < FOREIGN_SHARE:
            account = account.abroad(self.rng)
        draw = self.rng.random()
        if draw < FAMILY_SHARE and self.homes:
            home = self.homes[int(self.rng.integers(max(0, len(self.homes) - 12), len(self.homes)))]
            return account.beside(home, home.device)
        if draw < FAMILY_SHARE + PUBLIC_SHARE:
            return self._in_public(account)
        self.homes.append(account)
        return account

    def language(self) -> str:
        shares = np.array([LANGUAGE_SHARES.get(tag, 0.05) for tag in self.languages])
        return self.languages[int(self.rng.choice(len(shares), p=shares / shares.sum()))]

    def devices(self, count: int) -> list[str]:
        """Fingerprints of new devices."""
        return [fingerprint(self.rng) for _ in range(count)]

    def _in_public(self, account: Account) -> Account:
        """On one of a few devices that anybody may use; who came first says where it stands."""
        number = int(self.rng.integers(PUBLIC_DEVICES))
        if number >= len(self.public):
            self.public.append(account.beside(account, account.device))
            return self.public[-1]
        return account.beside(self.public[number], self.public[number].device)


def fingerprint(rng: np.random.Generator) -> str:
    """A name that says nothing: 12 hexadecimal digits."""
    return f"{int(rng.integers(16**12)):012x}"


def client_of(device: str) -> str:
    """What a device runs."""
    return CLIENTS[int(device, 16) % len(CLIENTS)]


def _near(count: int, rng: np.random.Generator) -> int:
    """About `count`: no two accounts that are made from one row are equal."""
    return int(count * rng.lognormal(0.0, 0.15))
