"""The alerts of a report: which hold, which are over, and how they reach incident response.

What the previous report held and this one does not is over, and said to be so, that an incident
ends at once. A source that failed says nothing: what it held stays held until it works again, or
until incident response has not heard of it for `incidents.quiet_seconds`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from data_contracts.alerts import Alert
from data_contracts.errors import WeirError
from evaluation.monitoring.advice import what_to_do
from pipelines import alert_inbox
from pipelines.state import open_state

Held = dict[str, list[str]]  # source of alerts: fingerprints
Result = TypeVar("Result")
ROOT = Path(__file__).parents[2]


def attempted(
    what: str, call: Callable[[], Result], failures: list[str]
) -> Result | None:  # the report must outlive whatever fails in a part of it
    """What `call` returns; None where it raised, and then a sentence in `failures`.

    The sentence has the place of a foreign error and not its words, which may be a user's; the
    trace goes to standard error.
    """
    try:
        return call()
    except WeirError as error:
        failures.append(f"{what} failed: {error}")
    except Exception as error:  # any defect of one part
        traceback.print_exc(file=sys.stderr)
        failures.append(f"{what} failed with {type(error).__name__} at {_place(error)}")
    return None


def held(sources: Mapping[str, Sequence[Alert] | None], previous: Mapping[str, Any] | None) -> Held:
    """Fingerprints that hold by source; None (it failed) holds what the previous report held."""
    before: Mapping[str, list[str]] = (previous or {}).get("held", {})
    return {
        source: sorted({alert.fingerprint for alert in alerts})
        if alerts is not None
        else list(before.get(source, []))
        for source, alerts in sources.items()
    }


def over(now: Held, previous: Mapping[str, Any] | None) -> list[str]:
    """Fingerprints that the previous report held, from any source, and this one does not.

    >>> over({"anomalies": ["a"]}, {"held": {"anomalies": ["a", "b"], "outcomes": ["c"]}})
    ['b', 'c']
    """
    before: Mapping[str, list[str]] = (previous or {}).get("held", {})
    return sorted({*_all(before)} - {*_all(now)})


def hand_over(state_url: str, alerts: Sequence[Alert], ended: Sequence[str], now: datetime) -> None:
    """To incident response: what holds is put again with each report, what is over is cleared."""
    if not alerts and not ended:
        return
    engine = open_state(state_url)
    try:
        alert_inbox.prepare(engine)
        alert_inbox.put(engine, alerts, now)
        alert_inbox.clear(engine, ended, now)
    finally:
        engine.dispose()


def shown(alert: Alert) -> dict[str, Any]:
    """The alert as the report holds it, with what to do."""
    return alert.as_record() | {"fingerprint": alert.fingerprint, "do": what_to_do(alert)}


def _all(found: Mapping[str, Iterable[str]]) -> Iterable[str]:
    return (one for fingerprints in found.values() for one in fingerprints)


def _place(error: BaseException) -> str:
    """The innermost line of our own code that it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if Path(one.filename).is_relative_to(ROOT)]
    frame = (own or list(frames))[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"
