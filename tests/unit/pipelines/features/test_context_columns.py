"""Which entries of an event's context become columns, and with what values."""

from __future__ import annotations

import numpy as np

from data_contracts.events import Event
from pipelines.features.context import ContextColumns


def _event(**context: str | float | bool) -> Event:
    return Event(event_id="e", text="hi", context=dict(context))


def test_only_numbers_and_truth_values_become_columns() -> None:
    columns = ContextColumns.of([_event(followers=3, verified=True, video="abc")])
    assert columns.keys == ("followers", "verified")
    assert columns.names == ("images", "videos", "context.followers", "context.verified")


def test_a_missing_entry_or_another_kind_is_not_a_number() -> None:
    values = ContextColumns(("followers",)).values(_event(followers="many"))
    assert values[:2].tolist() == [0.0, 0.0]
    assert np.isnan(values[2])


def test_a_rare_key_is_no_column() -> None:
    events = [_event() for _ in range(199)] + [_event(rare=1)]
    assert ContextColumns.of(events).keys == ()
