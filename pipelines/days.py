"""Days as the command lines name them: one, a range, `all`, or `pending`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from data_contracts.errors import BadInput, NothingToDo

PENDING = "pending"
ALL = "all"
_DAY = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def declare_day(parser: argparse.ArgumentParser) -> None:
    """Add `--day`, which most daily steps take."""
    parser.add_argument(
        "--day",
        default=PENDING,
        metavar="YYYY-MM-DD|pending",
        help="one day, or every day that has input and is not done yet (default: pending)",
    )


def is_day(text: str) -> bool:
    """Whether the text is a real day, written YYYY-MM-DD.

    >>> is_day("2026-02-28"), is_day("2026-02-30"), is_day("1 May")
    (True, False, False)
    """
    if not _DAY.match(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def is_unfinished(day: str, now: datetime | None = None) -> bool:
    """Whether it is still this day in UTC at `now` (by default at this moment).

    >>> is_unfinished("2026-02-28", datetime(2026, 2, 28, 23, tzinfo=UTC))
    True
    """
    return day == (now or datetime.now(UTC)).date().isoformat()


def days_to_do(
    wanted: str, known: Sequence[str], is_done: Callable[[str], bool], *, where: str
) -> list[str]:
    """The days that a step works on, in order.

    `known` are the days that have input, `where` says in what place. Raises BadInput for a day
    that is none or has no input, and NothingToDo where no day is pending.
    """
    if wanted == PENDING:
        pending = [day for day in known if not is_done(day)]
        if not pending:
            raise NothingToDo(f"no day is pending: {len(known)} days in {where}, all of them done")
        return pending
    if not is_day(wanted):
        raise BadInput(f"--day {wanted!r} is no day; write YYYY-MM-DD or pending")
    if wanted not in known:
        raise BadInput(f"--day {wanted}: nothing in {where}; it has {_shown(known)}")
    return [wanted]


def days_between(wanted: str, known: Sequence[str], *, where: str) -> list[str]:
    """The known days of `all`, `A..B` (both included) or one day.

    >>> days_between("2026-01-02..2026-01-09", ["2026-01-01", "2026-01-03"], where="the lake")
    ['2026-01-03']
    """
    first, separator, last = wanted.partition("..")
    last = last if separator else first
    if wanted == ALL:
        chosen = list(known)
    elif not (is_day(first) and is_day(last)):
        raise BadInput(f"--days {wanted!r} is no range; write A..B, one day, or all")
    else:
        chosen = [day for day in known if first <= day <= last]
    if not chosen:
        raise BadInput(f"--days {wanted}: nothing in {where}; it has {_shown(known)}")
    return chosen


def _shown(known: Sequence[str]) -> str:
    return f"{known[0]} to {known[-1]}" if known else "no days at all"
