"""The real sets, where they are: rows fit the contract, and days keep related rows together."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from data_contracts.catalogue import load_catalogue
from data_contracts.config import load_settings
from data_contracts.labels import LabelledEvent
from pipelines.catalogue import dataset, read_labelled
from pipelines.near_duplicates import group_related
from pipelines.simulation.replay import replay

SETTINGS = load_settings()
OFFLINE = SETTINGS.data.model_copy(update={"download": False})


def rows_of(name: str) -> list[LabelledEvent]:
    if not (OFFLINE.root / dataset(name).file).is_file():
        pytest.skip(f"dataset {name} is not under data.root ({OFFLINE.root})")
    return read_labelled(name, OFFLINE, Path())


@pytest.mark.dataset
@pytest.mark.parametrize("name", load_catalogue().datasets)
def test_a_set_fits_the_contract(name: str) -> None:
    rows = rows_of(name)
    assert rows
    assert len({row.event.event_id for row in rows}) == len(rows)
    if isinstance(dataset(name).columns.label, str):
        assert {row.label for row in rows} == {dataset(name).columns.label}
    else:
        assert {row.label for row in rows} == {"spam", "ham"}


@pytest.mark.dataset
def test_replayed_days_keep_the_near_duplicates_of_real_messages_together() -> None:
    rows = [row for name in SETTINGS.traffic.datasets for row in rows_of(name)]
    replayed = replay(rows, SETTINGS.traffic)
    groups = group_related([item.row for item in replayed])
    days = defaultdict(set)
    for group, item in zip(groups, replayed, strict=True):
        days[int(group)].add(item.day)
    assert max(len(found) for found in days.values()) == 1
    by_day = defaultdict(set)
    for item in replayed:
        by_day[item.day].add(item.row.dataset)
    assert all(found == set(SETTINGS.traffic.datasets) for found in by_day.values())
    assert len(by_day) == SETTINGS.traffic.days
