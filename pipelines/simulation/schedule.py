"""Which row of which set stands on which replay day.

Rows that belong together (near-duplicates, one author) share a day, so that no split by time
separates them: campaigns arrive together. A set with times keeps their order; the others are
dealt out at random. Every day has every set, as far as its rows go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_contracts.labels import LabelledEvent


@dataclass(frozen=True)
class Placed:
    """Row number `row` stands on day `day` (0, 1, …) at `fraction` of that day, in [0, 1)."""

    row: int
    day: int
    fraction: float


def schedule(
    rows: Sequence[LabelledEvent],
    groups: NDArray[np.int64],
    days: int,
    events_per_day: int,
    rng: np.random.Generator,
) -> list[Placed]:
    """At most `days * events_per_day` rows with their day and time of day; each row once.

    `groups`: int64[n], from `group_related`. A group that does not fit a day is cut, never
    divided between days.
    """
    members = _rows_by_dataset(rows)
    quotas = fair_shares(
        {name: len(found) for name, found in members.items()}, days, events_per_day
    )
    timed_first = sorted(members, key=lambda name: (not _has_times(rows, members[name]), name))
    day_of_group: dict[int, int] = {}
    placed: list[Placed] = []
    for name in timed_first:
        room = _Room([quota[name] for quota in quotas])
        by_group = _grouped(members[name], groups)
        order = [int(group) for group in rng.permutation(np.array(list(by_group)))]
        if _has_times(rows, members[name]):
            order = _in_time_order(order, by_group, rows, sum(room.left), rng)
            _fill_in_order(order, by_group, room, day_of_group)
        else:
            _fill_evenly(order, by_group, room, day_of_group)
        placed += _with_times_of_day(room, rows, rng)
    return placed


def fair_shares(sizes: dict[str, int], days: int, events_per_day: int) -> list[dict[str, int]]:
    """For each day the rows of each set: equal shares; what a small set lacks goes to the others.

    >>> fair_shares({"big": 100, "small": 4}, days=2, events_per_day=10)
    [{'small': 2, 'big': 8}, {'small': 2, 'big': 8}]
    """
    totals: dict[str, int] = {}
    budget = days * events_per_day
    for position, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        totals[name] = min(size, budget // (len(sizes) - position))
        budget -= totals[name]
    return [
        {name: total // days + (day < total % days) for name, total in totals.items()}
        for day in range(days)
    ]


@dataclass
class _Room:
    """The rows still wanted on each day, and those placed."""

    left: list[int]
    rows: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    def place(self, day: int, members: Sequence[int]) -> None:
        taken = list(members[: self.left[day]])
        self.rows[day] += taken
        self.left[day] -= len(taken)


def _rows_by_dataset(rows: Sequence[LabelledEvent]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        found[row.dataset].append(number)
    return found


def _has_times(rows: Sequence[LabelledEvent], members: Sequence[int]) -> bool:
    return any(rows[row].event.occurred_at is not None for row in members)


def _grouped(members: Sequence[int], groups: NDArray[np.int64]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for row in members:
        found[int(groups[row])].append(row)
    return found


def _in_time_order(
    order: Sequence[int],
    by_group: dict[int, list[int]],
    rows: Sequence[LabelledEvent],
    wanted: int,
    rng: np.random.Generator,
) -> list[int]:
    """As many groups as give `wanted` rows, by first time; those without a time anywhere."""
    chosen: list[int] = []
    count = 0
    for group in order:
        if count >= wanted:
            break
        chosen.append(group)
        count += len(by_group[group])
    known = sorted(
        time for group in chosen for row in by_group[group] if (time := _time(rows, row))
    )
    first = {
        group: min(
            (time for row in by_group[group] if (time := _time(rows, row))),
            default=known[int(rng.integers(len(known)))] if known else 0.0,
        )
        for group in chosen
    }
    return sorted(chosen, key=lambda group: (first[group], group))


def _time(rows: Sequence[LabelledEvent], row: int) -> float:
    """Seconds since 1970, 0 where the row has no time."""
    time = rows[row].event.occurred_at
    return 0.0 if time is None else time.timestamp()


def _fill_in_order(
    order: Sequence[int], by_group: dict[int, list[int]], room: _Room, day_of_group: dict[int, int]
) -> None:
    day, last = 0, len(room.left) - 1
    for group in order:
        while day < last and room.left[day] == 0:
            day += 1
        room.place(day_of_group.setdefault(group, day), by_group[group])


def _fill_evenly(
    order: Sequence[int], by_group: dict[int, list[int]], room: _Room, day_of_group: dict[int, int]
) -> None:
    for group in order:
        if not any(room.left):
            return
        fullest = max(range(len(room.left)), key=lambda day: room.left[day])
        room.place(day_of_group.setdefault(group, fullest), by_group[group])


def _with_times_of_day(
    room: _Room, rows: Sequence[LabelledEvent], rng: np.random.Generator
) -> list[Placed]:
    """Seeded times of day; rows with times of their own keep their order among themselves."""
    placed: list[Placed] = []
    for day, members in sorted(room.rows.items()):
        fractions = rng.random(len(members))
        timed = [at for at, row in enumerate(members) if _time(rows, row)]
        ordered = sorted(timed, key=lambda at: (_time(rows, members[at]), members[at]))
        for at, fraction in zip(ordered, sorted(fractions[timed]), strict=True):
            fractions[at] = fraction
        placed += [
            Placed(row, day, float(fraction))
            for row, fraction in zip(members, fractions, strict=True)
        ]
    return placed
