"""Whether the event rides on what is rising: words, linked domains, targets.

Each is compared with its own history, as a share of all posts, so that a busy evening is no
trend: how many standard deviations of a Poisson count the last hour is above what the last weeks
would have it: `(seen - expected) / sqrt(expected + 1)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import sqrt

from data_contracts.events import Event
from pipelines.feature_store.states import Read, StateStore
from pipelines.features.surroundings.contents import Content
from pipelines.features.surroundings.moments import seconds
from pipelines.features.surroundings.trails import mark
from pipelines.features.surroundings.trends import NEVER, SLOT, Rates, packed_rates, unpack

NAMES = ("words_rise", "words_rise_mean", "domain_rise", "target_rise")
PLACES = 1 << 20  # counters of words: names that share one share its trend; memory is bounded
REMEMBERED = 1 << 14  # places of words that came lately; most words come again
ALL = "trend:all"

Keys = Mapping[str, Sequence[str]]


class Trending:
    """Keeps a counter of each word, domain and target, and one of all posts."""

    def __init__(self, states: StateStore) -> None:
        self._states = states

    def keys(self, content: Content) -> Keys:
        """What `features` reads, by kind, beside ALL."""
        return _keys(content)

    def features(self, event: Event, keys: Keys, read: Read) -> dict[str, float]:
        """Nothing for an event without time, or one so late that the counts are past it."""
        at = seconds(event)
        if at is None:
            return {}
        slot, packed = int(at // SLOT), read(ALL)
        everything = NEVER if packed is None else packed_rates(packed, slot)
        if everything is None:
            return {}
        rises = {kind: _rises(map(read, own), slot, everything) for kind, own in keys.items()}
        found = {f"{kind}_rise": max(values) for kind, values in rises.items() if values}
        words = rises["words"]
        return found | ({"words_rise_mean": sum(words) / len(words)} if words else {})

    def observe(self, event: Event, content: Content) -> None:
        at = seconds(event)
        if at is None:
            return
        slot = int(at // SLOT)
        for key in (ALL, *(key for keys in _keys(content).values() for key in keys)):
            self._states.put(key, unpack(self._states.get(key), slot).one_more(slot).pack())


def _rises(counters: Iterable[bytes | None], slot: int, everything: Rates) -> list[float]:
    """Of packed counters; those that are past the slot are left out."""
    found = []
    for packed in counters:
        if packed is None:
            found.append(0.0)  # as `rise` says of what was never there
        elif (rates := packed_rates(packed, slot)) is not None:
            found.append(rise(rates, everything))
    return found


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


def _keys(content: Content) -> Keys:
    return {
        "words": _places("words", content.words),
        "domain": _places("domain", content.domain),
        "target": _places("target", content.target),
    }


def _places(kind: str, names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([_place(kind, name) for name in names]))


@lru_cache(REMEMBERED)
def _place(kind: str, name: str) -> str:
    return f"trend:{kind}:{mark(name) % PLACES}"
