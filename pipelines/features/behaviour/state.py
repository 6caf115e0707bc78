"""The folded history of accounts and devices: read for an event, then told of it.

The same code runs online, over a store on disk, and offline, over a replay of the log: a feature
is the same to the last bit wherever it is computed (on machines whose `exp` and `log` agree).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from data_contracts.actions import Action, ActionKind
from data_contracts.events import Event
from pipelines.feature_store.states import StateStore, read_many
from pipelines.features.behaviour import signals
from pipelines.features.behaviour.devices import Company, Devices, device_features
from pipelines.features.behaviour.engagement import Engagement, engagement_features
from pipelines.features.behaviour.graph import Graph, degree_features, graph_features
from pipelines.features.behaviour.moments import DAY, microseconds
from pipelines.features.behaviour.packing import Packing, Shelf
from pipelines.features.behaviour.repetition import Repetition, repetition_features
from pipelines.features.behaviour.rhythm import Rhythm, rhythm_features
from pipelines.features.behaviour.signals import identity
from pipelines.features.behaviour.standing import Standing, standing_features


class Account(NamedTuple):
    """Everything known of an account but its standing, which neighbours read too."""

    rhythm: Rhythm = Rhythm()
    graph: Graph = Graph()
    engagement: Engagement = Engagement()
    repetition: Repetition = Repetition()
    devices: Devices = Devices()

    def posted(self, event: Event, at: int) -> Account:
        rhythm = self.rhythm.posted(at, signals.utc_offset_minutes(event))
        return self._replace(rhythm=rhythm, repetition=self.repetition.posted(event))

    def on(self, device: int | None) -> Account:
        return self if device is None else self._replace(devices=self.devices.using(device))

    def did(self, kind: ActionKind, whom: int, at: int) -> Account:
        """After the account followed, unfollowed, liked or answered someone; a view is nothing."""
        graph = self.graph
        if kind == "follow":
            return self._replace(graph=graph.followed_one(whom, at))
        if kind == "unfollow":
            return self._replace(graph=graph.unfollowed_one(whom, at))
        if kind in ("like", "reply"):
            return self._replace(graph=graph.chose(whom), engagement=self.engagement.gave(at))
        return self

    def underwent(self, kind: ActionKind, who: int) -> Account:
        """After someone did that to the account."""
        if kind == "follow":
            return self._replace(graph=self.graph.gained(who))
        if kind == "unfollow":
            return self._replace(graph=self.graph.lost(who))
        return self._replace(engagement=self.engagement.received(kind))


class Stood(NamedTuple):
    """A state of one part: the standing of an account."""

    standing: Standing = Standing()

    def seen(self, event: Event, at: int) -> Stood:
        return Stood(self.standing.seen(event, at))

    def accused(self, kind: ActionKind) -> Stood:
        return Stood(self.standing.accused(kind))


class Shared(NamedTuple):
    """A state of one part: the company on a device."""

    company: Company = Company()

    def used_by(self, account: int, at: int) -> Shared:
        return Shared(self.company.used_by(account, at))

    def posted_by(self, account: int, at: int) -> Shared:
        return Shared(self.company.posted_by(account, at))


class BehaviourState:
    """Behaviour of accounts and devices in `states`. One process tells it, any may read.

    State is bounded: at most 1.4 KiB an account and 1.1 KiB a device. State that cannot be read
    counts as unknown and in `corrupt`. Errors of the store pass through.
    """

    def __init__(self, states: StateStore) -> None:
        self._states = states
        self._accounts = Shelf(states, "account", Packing(_NOBODY))
        self._standings = Shelf(states, "standing", Packing(Stood()))
        self._companies = Shelf(states, "device", Packing(Shared()))

    @property
    def corrupt(self) -> int:
        """How often state could not be read."""
        return self._accounts.corrupt + self._standings.corrupt + self._companies.corrupt

    def features(self, event: Event) -> dict[str, float]:
        """By name, what the past says at `event.occurred_at`; what it does not say is absent.

        The event itself is no part of it. Empty for an event without a time.
        """
        if event.occurred_at is None:
            return {}
        at, who = microseconds(event.occurred_at), _identity_of(event)
        device = signals.device(event)
        known, standing, company = self._of_party(who, device)
        others = company.others(who, at, 7 * DAY)
        standings = self._standings_of({*known.graph.neighbours, *others})
        found = standing_features(standing, event, at)
        if who is None:
            found |= degree_features(known.graph, event)
        else:
            neighbours = [standings[one] for one in known.graph.neighbours]
            found |= _account_features(known, standing, neighbours, event, at)
            # the first post from another device is the one that matters: it counts
            found["account_devices"] = float(len({*known.devices.used, device} - {None}))
        if device is not None:
            found |= device_features(company, standings, who, at)
        return {name: value for name, value in found.items() if value is not None}

    def observe_event(self, event: Event) -> None:
        """Fold the event in. One without an account or a time leaves no trace."""
        if event.occurred_at is None or event.account is None:
            return
        at, who = microseconds(event.occurred_at), identity(event.account)
        device = signals.device(event)
        self._accounts.change(who, lambda known: known.posted(event, at).on(device))
        self._standings.change(who, lambda known: known.seen(event, at))
        if device is not None:
            self._companies.change(device, lambda known: known.posted_by(who, at))

    def observe_action(self, action: Action) -> None:
        """Fold in what the account did, and what was done to the target."""
        at, who, whom = microseconds(action.at), identity(action.account), identity(action.target)
        device = identity(action.device) if action.device else None
        if action.kind in ("report", "confirmed_spam"):
            self._standings.change(whom, lambda known: known.accused(action.kind))
        else:
            self._accounts.change(who, lambda known: known.did(action.kind, whom, at).on(device))
            self._accounts.change(whom, lambda known: known.underwent(action.kind, who))
        if device is not None:
            self._companies.change(device, lambda known: known.used_by(who, at))

    def _of_party(self, who: int | None, device: int | None) -> tuple[Account, Standing, Company]:
        """What is known of an account and a device, empty where there is none."""
        account = None if who is None else self._accounts.key(who)
        standing = None if who is None else self._standings.key(who)
        company = None if device is None else self._companies.key(device)
        keys = [key for key in (account, standing, company) if key is not None]
        read = read_many(self._states, keys)
        return (
            self._accounts.unpacked(read.get(account or "")),
            self._standings.unpacked(read.get(standing or "")).standing,
            self._companies.unpacked(read.get(company or "")).company,
        )

    def _standings_of(self, accounts: Iterable[int]) -> dict[int, Standing]:
        keys = {one: self._standings.key(one) for one in accounts}
        read = read_many(self._states, keys.values())
        return {one: self._standings.unpacked(read[key]).standing for one, key in keys.items()}


def _account_features(
    known: Account, standing: Standing, neighbours: Sequence[Standing], event: Event, at: int
) -> dict[str, float | None]:
    is_new = known is _NOBODY
    return {
        **(_RHYTHM_OF_NOBODY if is_new else rhythm_features(known.rhythm, at)),
        **degree_features(known.graph, event),
        **(_GRAPH_OF_NOBODY if is_new else graph_features(known.graph, neighbours, at)),
        **engagement_features(known.engagement, standing, known.rhythm.posts, at),
        **repetition_features(known.repetition, event),
    }


def _identity_of(event: Event) -> int | None:
    return None if event.account is None else identity(event.account)


_NOBODY = Account()
_RHYTHM_OF_NOBODY = rhythm_features(_NOBODY.rhythm, 0)
_GRAPH_OF_NOBODY = graph_features(_NOBODY.graph, (), 0)
