"""Emergence: groups of events that have no past stand out, single odd texts do not."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from pipelines.labelling.emergence import emergence, emergence_column
from pipelines.labelling.samplers import SAMPLERS, Pool


def at(degrees: float) -> list[float]:
    return [float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))]


def vectors(*degrees: float) -> NDArray[np.float32]:
    return np.array([at(one) for one in degrees], np.float32).reshape(-1, 2)


def test_a_group_with_no_past_stands_out_and_a_lonely_text_does_not() -> None:
    """Two at 90 degrees have each other and had nobody (1 - 0); the one at 0 has nobody and had
    its like (0 - 1), and so has the one at 180."""
    found = emergence(vectors(90, 90, 0, 180), vectors(0, 0, 180, 180), neighbours=1)
    assert found.tolist() == pytest.approx([1.0, 1.0, -1.0, -1.0], abs=1e-6)


def test_a_longer_window_of_the_same_traffic_says_about_the_same() -> None:
    draw = np.random.default_rng(3)
    traffic = draw.normal(size=(2200, 8)).astype(np.float32)
    traffic /= np.linalg.norm(traffic, axis=1, keepdims=True)
    now, past = traffic[:200], traffic[200:]
    assert np.mean(emergence(now, past)) == pytest.approx(
        np.mean(emergence(now, past[:200])), abs=0.03
    )


def test_events_without_an_embedding_have_no_emergence_and_the_arm_passes_over_them() -> None:
    lists = pa.chunked_array([pa.array([at(90), None, at(90), at(0)], pa.list_(pa.float32()))])
    column = emergence_column(lists, vectors(0, 0, 0))
    assert column.is_null().to_pylist() == [False, True, False, False]
    assert emergence_column(lists, vectors()).null_count == 4
    pool = Pool(pa.table({"event_id": ["a", "b", "c", "d"], "emergence": column}))
    arm = SAMPLERS["time_sensitive"]
    chosen = arm.select(pool, 2, np.random.default_rng(0))
    assert set(chosen.event_ids) == {"a", "c"}
    assert chosen.counts() == {"time_sensitive/emergence": 2}


def test_fewer_than_one_neighbour_is_refused() -> None:
    with pytest.raises(ValueError, match="neighbours 0"):
        emergence(vectors(0, 1), vectors(0), neighbours=0)
