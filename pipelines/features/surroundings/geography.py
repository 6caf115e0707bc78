"""Where the account says it is, where it comes from, and where it came from before."""

from __future__ import annotations

from math import inf

from data_contracts.events import Event
from pipelines.feature_store.states import Read, StateStore
from pipelines.features.surroundings.moments import seconds
from pipelines.features.surroundings.trails import (
    DAY,
    first_seen,
    mark,
    read_trail,
    share_of,
    spreads,
    write_trail,
)

NAMES = ("country_differs", "country_share", "countries_day", "countries")


class Geography:
    """Keeps the countries of an account's latest posts, by address where it is known."""

    def __init__(self, states: StateStore) -> None:
        self._states = states

    def keys(self, event: Event) -> tuple[str, ...]:
        """What `features` reads."""
        return (_key(event.account),) if event.account and _country(event) else ()

    def features(self, event: Event, read: Read) -> dict[str, float]:
        """`country_share`: of the account's earlier posts that came from this country."""
        at, country = seconds(event), _country(event)
        if at is None or not event.account or not country:
            return _differing(event)
        return _differing(event) | _habit(read(_key(event.account)), at, mark(country))

    def observe(self, event: Event) -> None:
        at, country = seconds(event), _country(event)
        if event.account and at is not None and country:
            trail = read_trail(self._states, _key(event.account))
            grown = trail.joined(at, mark(country), 0)
            write_trail(self._states, _key(event.account), grown)


def _habit(packed: bytes | None, at: float, country: int) -> dict[str, float]:
    if packed is None or first_seen(packed, at) is None:
        return {}
    day, ever = spreads(packed, at, DAY, inf)
    return {
        "country_share": share_of(packed, at, country),
        "countries_day": day.accounts,
        "countries": ever.accounts,
    }


def _differing(event: Event) -> dict[str, float]:
    said, found = event.context.get("country"), event.context.get("ip_country")
    if not isinstance(said, str) or not isinstance(found, str):
        return {}
    return {"country_differs": float(said.upper() != found.upper())}


def _country(event: Event) -> str | None:
    for name in ("ip_country", "country"):
        country = event.context.get(name)
        if isinstance(country, str) and country:
            return country.upper()
    return None


def _key(account: str) -> str:
    return f"place:{mark(account):08x}:{account[:64]}"
