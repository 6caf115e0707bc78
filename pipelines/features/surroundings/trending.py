"""Whether the event rides on what is rising: words, linked domains, targets.

Each is compared with its own history, as a share of all posts, so that a busy evening is no
trend: how many standard deviations of a Poisson count the last hour is above what the last weeks
would have it: `(seen - expected) / sqrt(expected + 1)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import sqrt

from data_contracts.events import Event
from pipelines.feature_store.states import StateStore
from pipelines.features.surroundings.contents import Content
from pipelines.features.surroundings.moments import seconds
from pipelines.features.surroundings.trails import mark
from pipelines.features.surroundings.trends import NEVER, SLOT, Counter, Rates, unpack

NAMES = ("words_rise", "words_rise_mean", "domain_rise", "target_rise")
PLACES = 1 << 20  # counters of words: names that share one share its trend; memory is bounded
ALL = "trend:all"


class Trending:
    """Keeps a counter of each word, domain and target, and one of all posts."""

    def __init__(self, states: StateStore) -> None:
        self._states = states

    def keys(self, content: Content) -> list[str]:
        """What `features` reads."""
        return [ALL, *(key for keys in _keys(content).values() for key in keys)]

    def features(self, event: Event, content: Content) -> dict[str, float]:
        """Nothing for an event without time, or one so late that the counts are past it."""
        at = seconds(event)
        everything = None if at is None else self._rates(ALL, int(at // SLOT))
        if at is None or everything is None:
            return {}
        rises = {
            kind: [rise(rates, everything) for rates in self._known(keys, int(at // SLOT))]
            for kind, keys in _keys(content).items()
        }
        found = {f"{kind}_rise": max(values) for kind, values in rises.items() if values}
        words = rises["words"]
        return found | ({"words_rise_mean": sum(words) / len(words)} if words else {})

    def observe(self, event: Event, content: Content) -> None:
        at = seconds(event)
        if at is None:
            return
        slot = int(at // SLOT)
        for key in (ALL, *(key for keys in _keys(content).values() for key in keys)):
            self._states.put(key, self._counter(key, slot).one_more(slot).pack())

    def _known(self, keys: Iterable[str], slot: int) -> Iterator[Rates]:
        found = (self._rates(key, slot) for key in keys)
        return (rates for rates in found if rates is not None)

    def _rates(self, key: str, slot: int) -> Rates | None:
        return self._counter(key, slot).rates(slot)

    def _counter(self, key: str, slot: int) -> Counter:
        return unpack(self._states.get(key), slot)


def rise(own: Rates, everything: Rates) -> float:
    """Standard deviations above what its share of the slow count lets one expect.

    >>> rise(Rates(fast=10, slow=100), Rates(fast=100, slow=1000))  # a tenth, as ever
    0.0
    >>> rise(Rates(fast=10, slow=10), Rates(fast=100, slow=10_000)).__round__(2)  # new
    9.44
    """
    if everything == NEVER:
        return 0.0
    expected = everything.fast * own.slow / everything.slow
    return (own.fast - expected) / sqrt(expected + 1)


def _keys(content: Content) -> dict[str, list[str]]:
    return {kind: _places(kind, getattr(content, kind)) for kind in ("words", "domain", "target")}


def _places(kind: str, names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(f"trend:{kind}:{mark(name) % PLACES}" for name in names))
