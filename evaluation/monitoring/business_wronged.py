"""Who was wrongly acted on, and since when: three sources, of which only one is drawn by chance.

Overturned appeals are of those who appealed; remedies are what the champion would not have done;
audit labels of ham among what was acted on are drawn by chance, and few. All three are read as
tables: what serving wrote there is a contract, not code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.compute as pc
from sqlalchemy import JSON, Engine, String, column, inspect, select, table

from pipelines import lake
from pipelines.labelling.appeal_tables import APPEALS
from pipelines.state import open_state, reading

APPEAL, REMEDY, AUDIT = "overturned appeals", "remedies", "audit labels"
REMEDIED = table("remedy_actions", column("contested", JSON), column("outcome", String))


@dataclass(frozen=True)
class Wronged:
    """The first wrongful action on an account (keyed hash): its day, whose it was, who found it."""

    account: str
    day: str
    release: str
    source: str


def wronged_accounts(lake_folder: Path, state_url: str, days: Sequence[str]) -> tuple[Wronged, ...]:
    """Of the actions of these days, each account with its first, in order of account.

    Accounts of which a label says spam are left out: with them something was right.
    """
    labels = _labels(lake_folder, days)
    acted = _acted_events(lake_folder, days, labels)
    found = [*_from_state(state_url, days)]
    found += [
        Wronged(account, day, release, AUDIT)
        for event, (account, day, release) in acted.items()
        if account and labels[event] == ("ham", True)
    ]
    spammers = {account for event, (account, *_) in acted.items() if labels[event][0] == "spam"}
    first: dict[str, Wronged] = {}
    for one in sorted(found, key=lambda one: (one.account, one.day, one.source)):
        if one.account not in spammers:
            first.setdefault(one.account, one)
    return tuple(first.values())


def _from_state(state_url: str, days: Sequence[str]) -> Iterable[Wronged]:
    engine = open_state(state_url)
    try:
        found = [*_appeals(engine), *_remedies(engine)]
    finally:
        engine.dispose()
    wanted = set(days)
    return [one for one in found if one.day in wanted]


def _appeals(engine: Engine) -> Iterable[Wronged]:
    if not inspect(engine).has_table(APPEALS.name):
        return
    columns = (APPEALS.c.account, APPEALS.c.decided_at, APPEALS.c.model_version)
    query = select(*columns).where(APPEALS.c.state == "overturned")
    with reading(engine) as connection:
        for row in connection.execute(query):
            yield Wronged(row.account, _day(row.decided_at), row.model_version, APPEAL)


def _remedies(engine: Engine) -> Iterable[Wronged]:
    if not inspect(engine).has_table(REMEDIED.name):
        return
    query = select(REMEDIED.c.contested).where(REMEDIED.c.outcome == "wrongful")
    with reading(engine) as connection:
        for row in connection.execute(query):
            day = _day(datetime.fromisoformat(row.contested["decided_at"]))
            release = row.contested["model_version"]
            yield Wronged(row.contested["account"], day, release, REMEDY)


def _labels(lake_folder: Path, days: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Event to its latest label, and whether chance drew it."""
    columns = ["event_id", "label", "inclusion_probability", "observed_at"]
    rows = lake.read(lake_folder, "labels", days, columns).sort_by("observed_at").to_pylist()
    return {
        row["event_id"]: (row["label"], row["inclusion_probability"] is not None) for row in rows
    }


def _acted_events(
    lake_folder: Path, days: Sequence[str], labels: Mapping[str, object]
) -> dict[str, tuple[str | None, str, str]]:
    """Labelled events that were acted on, by the highest revision: account, day and release."""
    found: dict[str, tuple[str | None, str, str]] = {}
    for day in days:
        accounts: dict[str, str | None] | None = None
        latest: dict[str, tuple[int, str, str]] = {}
        columns = ["event_id", "revision", "action", "model_version", "mirrored"]
        verdicts = lake.read(lake_folder, "verdicts", [day], columns)
        for row in verdicts.filter(pc.invert(verdicts["mirrored"])).to_pylist():
            if row["event_id"] in labels:
                said = row["revision"], row["action"], row["model_version"]
                latest[row["event_id"]] = max(latest.get(row["event_id"], said), said)
        for event, (_, action, release) in latest.items():
            if action != "allow":
                accounts = accounts or _accounts(lake_folder, day, labels)
                found[event] = accounts.get(event), day, release
    return found


def _accounts(lake_folder: Path, day: str, wanted: Mapping[str, object]) -> dict[str, str | None]:
    table = lake.read(lake_folder, "events", [day], ["event_id", "account_hash"])
    rows = zip(table["event_id"].to_pylist(), table["account_hash"].to_pylist(), strict=True)
    return {event: account for event, account in rows if event in wanted}


def _day(at: datetime) -> str:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).date().isoformat()
