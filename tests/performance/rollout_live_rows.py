"""Rows, goals and table of the live rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.performance.rollout_live import NEVER, RATE, Outcome

MAXIMUM_ROLLBACK_SECONDS = 10.0  # from the decision
MAXIMUM_EXPOSURE_SECONDS = 30.0  # from the first bad second to the end of the rollback


def goals(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """What the live part is held to; failures where a slot's only server, or the gateway, was
    killed are counted apart."""
    counted = [one for one in outcomes if not one.spared]
    failed = sum(one.failed for one in counted)
    requests = sum(one.requests for one in counted)
    strange = [
        one.scenario for one in outcomes if one.ended != one.expected or NEVER in one.seconds
    ]
    bold = sum(len(one.too_bold) for one in outcomes)
    back = _longest(outcomes, "decision_to_end")
    exposed = _longest(outcomes, "first_bad_to_end")
    return [
        _goal("no_failed_request", f"failed of {requests:,} client requests at {RATE:.0f}/s",
              "0", failed, failed == 0),
        _goal("ends_as_wanted", f"of {len(outcomes)} scenarios, those that ended otherwise",
              "none", strange, not strange),
        _goal("never_too_bold", "a version above what the store allows, or not approved, seen",
              "never", bold, bold == 0),
        _goal("rollback_seconds", "longest rollback, from the decision to its end",
              f"at most {MAXIMUM_ROLLBACK_SECONDS:.0f} s", back, back <= MAXIMUM_ROLLBACK_SECONDS),
        _goal("exposure_seconds", "longest time from the first bad second to the rollback's end",
              f"at most {MAXIMUM_EXPOSURE_SECONDS:.0f} s", exposed,
              exposed <= MAXIMUM_EXPOSURE_SECONDS),
    ]  # fmt: skip


def table(outcomes: Sequence[Outcome]) -> str:
    """For people: what was spared is said."""
    lines = [f"{'scenario':<66}{'ended':<13}{'requests':>9}{'failed':>8}  seconds"]
    for one in outcomes:
        times = ", ".join(f"{name} {value:.1f}" for name, value in one.seconds.items())
        mark = "" if one.as_wanted else "  <-- not as wanted"
        counted = " (counted apart)" if one.spared else ""
        lines.append(
            f"{one.scenario:<66}{one.ended:<13}{one.requests:>9,}{one.failed:>8}  "
            f"{times}{counted}{mark}"
        )
    return "\n".join(lines)


def _longest(outcomes: Sequence[Outcome], name: str) -> float:
    return round(max((one.seconds.get(name, 0.0) for one in outcomes), default=0.0), 2)


def _goal(name: str, statement: str, target: str, measured: object, met: bool) -> dict[str, Any]:
    return {"id": f"live.{name}", "statement": f"live: {statement}", "target": target,
            "measured": measured, "met": met}  # fmt: skip
