"""Daily activity of wrongly acted-on accounts, and of those they may be compared with.

Of the lake's `actions/day=` and `events/day=` a day at a time is in memory, and of accounts only
the wronged ones and some that posted on the same days, so memory grows with neither. A day without
a file of actions is unknown, never a day without activity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_contracts.actions import ActionKind
from data_contracts.tables import partition
from evaluation.monitoring.business_wronged import Wronged
from evaluation.monitoring.engagement_matching import NEVER, Histories, strata_of
from pipelines import lake

ENGAGED: tuple[ActionKind, ...] = ("follow", "like", "reply", "view")  # done by the account
MOST_WRONGED = 500  # accounts: an interval of more is hardly narrower, and the report is hourly
CANDIDATES = 20  # to compare with, for each account and its day
UNKNOWN = "und"
CREATED = "account_created_at"


def read_histories(
    lake_folder: Path, wronged: Sequence[Wronged], days: Sequence[str]
) -> Histories | None:
    """Histories over the calendar of `days`: of MOST_WRONGED accounts, and CANDIDATES for each.

    None where no day has actions. An account that was acted on before its first wrongful action is
    left out: its days before are no days without an action.
    """
    told = lake.days(lake_folder, "actions")
    known = [day for day in told if days and days[0] <= day <= days[-1]]
    if not known:
        return None
    calendar = list(_calendar(days[0], days[-1]))
    acted = _acted_on(lake_folder, calendar)
    clean = [one for one in wronged if acted.get(one.account, one.day) >= one.day][:MOST_WRONGED]
    wanted = {one.account for one in clean}
    wanted |= _candidates(lake_folder, Counter(one.day for one in clean), acted)
    names = sorted(wanted)
    row_of = {name: row for row, name in enumerate(names)}
    column_of = {day: column for column, day in enumerate(calendar)}
    activity = np.full((len(names), len(calendar)), np.nan)
    posts = np.zeros((len(names), len(calendar)))
    about: dict[str, tuple[str, float]] = {}
    for day in calendar:
        _count_posts(lake_folder, day, row_of, posts[:, column_of[day]], about)
    for day in known:
        counted = activity[:, column_of[day]]
        counted[:] = posts[:, column_of[day]]
        _count_actions(lake_folder, day, row_of, counted)
    first = {one.account: column_of[one.day] for one in clean if one.day in column_of}
    return Histories(
        activity=activity,
        posts=posts,
        strata=strata_of([about.get(name, (UNKNOWN, np.nan))[0] for name in names]),
        age_days=np.array([about.get(name, (UNKNOWN, np.nan))[1] for name in names]),
        acted_on=np.array([first.get(name, NEVER) for name in names], np.int64),
        comparable=np.array([name not in acted and name not in first for name in names], bool),
    )


def _acted_on(lake_folder: Path, days: Sequence[str]) -> dict[str, str]:
    """Every account that was ever acted on, with the first day of it."""
    found: dict[str, str] = {}
    for day in days:
        table = _decided(lake_folder, day)
        acted = table.filter(pc.field("action") != "allow")["account_hash"]
        for account in acted.drop_null().unique().to_pylist():
            found.setdefault(account, day)
    return found


def _decided(lake_folder: Path, day: str) -> pa.Table:
    """Account and action of every decision of a day that counted."""
    verdicts = lake.read(lake_folder, "verdicts", [day], ["event_id", "action", "mirrored"])
    events = lake.read(lake_folder, "events", [day], ["event_id", "account_hash"])
    counted = verdicts.filter(pc.invert(verdicts["mirrored"])).select(["event_id", "action"])
    return counted.join(events, "event_id", join_type="inner")


def _candidates(lake_folder: Path, days: Counter[str], acted: dict[str, str]) -> set[str]:
    """Accounts that posted on these days and were never acted on.

    The first by their keyed hash, which says nothing of an account: as good as drawn by chance.
    """
    found: set[str] = set()
    for day, count in days.items():
        accounts = _decided(lake_folder, day)["account_hash"].drop_null().unique().to_pylist()
        never = sorted(account for account in accounts if account not in acted)
        found |= {*never[: CANDIDATES * count]}
    return found


def _count_posts(
    lake_folder: Path,
    day: str,
    row_of: dict[str, int],
    posts: np.ndarray,
    about: dict[str, tuple[str, float]],
) -> None:
    """Add a day's posts to `posts` float64[n], and what its events first say of each account."""
    columns = ["account_hash", "language", "context", "occurred_at"]
    table = lake.read(lake_folder, "events", [day], columns)
    wanted = pa.array(list(row_of), pa.string())
    for row in table.filter(pc.is_in(table["account_hash"], wanted)).to_pylist():
        account = row["account_hash"]
        posts[row_of[account]] += 1
        if account not in about:
            about[account] = _language(row["language"]), _age(row["context"], row["occurred_at"])


def _count_actions(
    lake_folder: Path, day: str, row_of: dict[str, int], activity: np.ndarray
) -> None:
    for batch in read_actions(lake_folder, day, ["account", "kind"]):
        wanted = pc.and_(
            pc.is_in(batch["account"], pa.array(list(row_of), pa.string())),
            pc.is_in(batch["kind"], pa.array(ENGAGED)),
        )
        for entry in batch["account"].filter(wanted).value_counts().to_pylist():
            activity[row_of[entry["values"]]] += entry["counts"]


def read_actions(lake_folder: Path, day: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """A day of the action log in batches; a column that is missing is an ArrowInvalid."""
    path = partition(lake_folder, "actions", day) / lake.PART
    if path.is_file():
        yield from pq.ParquetFile(path).iter_batches(columns=list(columns))


def _calendar(first: str, last: str) -> Iterable[str]:
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    while day <= end:
        yield day.isoformat()
        day += timedelta(days=1)


def _language(tag: str | None) -> str:
    return (tag or UNKNOWN).split("-")[0].lower()


def _age(context: str, at: datetime) -> float:
    """Days since the account was made; NaN where its events do not say."""
    made = orjson.loads(context).get(CREATED)
    try:
        born = datetime.fromisoformat(str(made))
    except ValueError:
        return float("nan")
    born = born if born.tzinfo else born.replace(tzinfo=UTC)
    return (at - born) / timedelta(days=1)
