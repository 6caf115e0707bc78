"""Whether the event's images are known, as bad or as good, and whether that may act."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from data_contracts.events import Event
from pipelines.feature_store.base import EPOCH
from pipelines.features.media.hashes import ImageHashes
from pipelines.flood_breaker import Entry, FloodBreaker, Sighting
from pipelines.hash_bank import Match
from pipelines.known_media import Familiarity, KnownMedia, closeness

NAMES = ("image_quality", "known_bad", "known_bad_in_review", "known_good", "bad_bits", "good_bits")


class Recognition:
    """Judges images by the known hashes; `breaker` says which of them act."""

    def __init__(self, known: KnownMedia, breaker: FloodBreaker) -> None:
        self._known = known
        self._breaker = breaker

    def features(self, event: Event, hashes: Sequence[ImageHashes]) -> dict[str, float]:
        """`known_bad`: acts. `known_bad_in_review`: its breaker is open. Bits of 256."""
        at = event.occurred_at
        if at is None or not hashes:
            return {}
        judged = [self._known.judge(one, at) for one in hashes]
        bad = [one.bad for one in judged if one.bad and one.verdict == "known_bad"]
        acting = [match for match in bad if self._breaker.acts(_entry(match), at)]
        return {
            "image_quality": float(min(one.pdq_quality for one in hashes)),
            "known_bad": float(bool(acting)),
            "known_bad_in_review": float(len(acting) < len(bad)),
            "known_good": float(any(one.verdict == "known_good" for one in judged)),
            **_nearest("bad_bits", [one.bad for one in judged]),
            **_nearest("good_bits", [one.good for one in judged]),
        }

    def observe(self, event: Event, hashes: Sequence[ImageHashes]) -> None:
        """Tell the breaker who posted what is known as bad."""
        at = event.occurred_at
        if at is None or event.account is None:
            return
        for match in self._bad(at, hashes):
            self._breaker.notice(Sighting(_entry(match), event.account, _age(event, at), at))

    def _bad(self, at: datetime, hashes: Sequence[ImageHashes]) -> list[Match]:
        judged: list[Familiarity] = [self._known.judge(one, at) for one in hashes]
        return [one.bad for one in judged if one.bad and one.verdict == "known_bad"]


def _nearest(name: str, matches: Sequence[Match | None]) -> dict[str, float]:
    found = [closeness(match) for match in matches if match is not None]
    return {name: 31.0 * min(found)} if found else {}


def _entry(match: Match) -> Entry:
    return Entry(match.known.kind, match.known.value)


def _age(event: Event, at: datetime) -> timedelta | None:
    """Of the account; None where its birth is unknown, unreadable or still to come."""
    born = event.context.get("account_created_at")
    if not isinstance(born, str):
        return None
    try:
        created = datetime.fromisoformat(born)
    except ValueError:
        return None
    created = created if created.tzinfo else created.replace(tzinfo=EPOCH.tzinfo)
    return at - created if created <= at else None
