"""What the meter was told is what Prometheus sees, exactly, whoever told it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, generate_latest

from data_contracts.events import Event
from data_contracts.verdicts import Stage, Verdict
from serving import meter, metrics
from serving.folding import rows
from serving.meter import Meter, content_kind

PREFILTER = Stage("prefilter", True, 0.2)


def seen(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def verdict(*stages: Stage, action: str = "allow", arm: str = "stable") -> Verdict:
    return Verdict("e", 0.2, action, (), stages, "7", "t", arm)  # type: ignore[arg-type]


def test_an_answer_counts_as_request_latency_and_deadline() -> None:
    told, before = Meter(), seen("weir_deadlines_total", **{"class": "t1"}, outcome="late")
    told.answered("v2", "t1", "canary", "text", 0.03, in_time=True)
    told.answered("v2", "t1", "canary", "text", 0.0301, in_time=False)
    told.answered("v2", "t1", "canary", "text", 9.0)
    assert seen("weir_deadlines_total", **{"class": "t1"}, outcome="late") == before
    told.fold()
    of = {"class": "t1", "arm": "canary"}
    assert seen("weir_requests_total", protocol="v2", status="200", **of) == 3
    assert seen("weir_deadlines_total", **{"class": "t1"}, outcome="late") == before + 1
    assert seen("weir_deadlines_total", **{"class": "t1"}, outcome="in_time") == 1
    buckets = [
        seen("weir_request_seconds_bucket", content="text", le=le, **of)
        for le in ("0.02", "0.03", "0.04", "2.5", "+Inf")
    ]
    assert buckets == [0, 1, 2, 2, 3]  # a bound belongs to its bucket
    total = seen("weir_request_seconds_sum", content="text", **of)
    assert total == pytest.approx(9.0601)


def test_what_is_folded_is_not_counted_again() -> None:
    told = Meter()
    told.refused("v1", "503", "t2", "stable")
    told.fold()
    told.fold()
    of = {"class": "t2"}
    assert seen("weir_requests_total", protocol="v1", status="503", arm="stable", **of) == 1


def test_a_verdict_counts_every_stage_with_the_reason_of_a_skip() -> None:
    told = Meter()
    skipped = Stage("t3-image", False, skipped_because="stage_timed_out:image")
    told.verdicts([verdict(PREFILTER, skipped, action="block", arm="shadow")] * 2)
    told.verdicts([verdict(Stage("t3-image", True, 0.5))])
    before = seen("weir_verdicts_total", arm="shadow", action="block")
    told.fold()
    assert seen("weir_verdicts_total", arm="shadow", action="block") == before + 2
    assert seen("weir_stages_total", stage="t3-image", outcome="ran", reason="") == 1
    why = {"outcome": "skipped", "reason": "stage_timed_out:image"}
    assert seen("weir_stages_total", stage="t3-image", **why) == 2


def test_reasons_without_end_become_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "MOST_REASONS", 2)
    told = Meter()
    for number in range(5):
        told.verdicts([verdict(Stage("t4", False, skipped_because=f"why {number}"))])
    told.degraded("t4 too many")
    told.fold()
    of = {"stage": "t4", "outcome": "skipped"}
    assert seen("weir_stages_total", reason="why 1", **of) == 1
    assert seen("weir_stages_total", reason="why 2", **of) == 0
    assert seen("weir_stages_total", reason="other", **of) == 3
    assert seen("weir_degraded_verdicts_total", reason="other") == 1


def test_a_stage_that_was_not_called_took_no_time() -> None:
    told = Meter()
    told.called("t5", "answered", 0.004)
    told.called("t5", "timed_out", 0.1)
    told.called("t5", "open", 0.0)
    told.fold()
    assert seen("weir_stage_calls_total", stage="t5", outcome="open") == 1
    assert seen("weir_stage_seconds_count", stage="t5") == 2
    assert seen("weir_stage_seconds_sum", stage="t5") == pytest.approx(0.104)


def test_queue_batches_reads_and_breakers_are_counted() -> None:
    told = Meter()
    told.admitted("t6", 0.002)
    told.shed("t6", "over_share")
    told.withdrawn("t6")
    told.decided("t6", 16, 0.01)
    before = seen("weir_batch_splits_total"), seen("weir_feature_age_seconds_count")
    told.split()
    told.read("hit", 30.0)
    told.read("t6-miss")
    told.breaker("t6", "half_open")
    told.breaker("t6", "open")
    told.fold()
    of = {"class": "t6"}
    assert seen("weir_queue_wait_seconds_bucket", le="0.002", **of) == 1
    assert seen("weir_shed_total", reason="over_share", **of) == 1
    assert seen("weir_withdrawn_total", **of) == 1
    assert seen("weir_batch_size_bucket", le="8.0", **of) == 0
    assert seen("weir_batch_size_bucket", le="16.0", **of) == 1
    assert seen("weir_batch_seconds_count", **of) == 1
    after = seen("weir_batch_splits_total"), seen("weir_feature_age_seconds_count")
    assert after == (before[0] + 1, before[1] + 1)
    assert seen("weir_feature_reads_total", outcome="t6-miss") == 1
    assert seen("weir_breaker_state", stage="t6") == 2
    assert seen("weir_breaker_changes_total", stage="t6", state="half_open") == 1


def test_gauges_show_what_is_so_when_they_are_looked_at() -> None:
    told, waiting = Meter(), [3.0]
    told.watch(metrics.QUEUE_DEPTH.labels("t7"), lambda: waiting[0])
    told.fold()
    waiting[0] = 5.0
    assert seen("weir_queue_depth", **{"class": "t7"}) == 3
    told.fold()
    assert seen("weir_queue_depth", **{"class": "t7"}) == 5


def test_a_scrape_shows_what_came_up_to_now() -> None:
    told = Meter()
    told.shed("t8", "stopping")
    shown = generate_latest(told).decode()
    assert 'weir_shed_total{class="t8",reason="stopping"} 1.0' in shown
    assert "_created" not in shown


def test_memory_descriptors_and_cpu_are_those_of_this_process() -> None:
    told = Meter()
    told.fold()
    assert 10e6 < seen("weir_worker_resident_bytes") < 100e9
    descriptors = seen("weir_worker_open_descriptors")
    with Path("/proc/self/statm").open(), Path("/proc/self/stat").open():
        told.fold()
    assert seen("weir_worker_open_descriptors") == descriptors + 2
    assert seen("weir_worker_cpu_seconds_total") > 0


def test_only_the_served_versions_are_1() -> None:
    metrics.set_versions("7", "t9-a")
    metrics.set_versions("8", "t9-a")
    assert seen("weir_model", model_version="7", threshold_version="t9-a") == 0
    assert seen("weir_model", model_version="8", threshold_version="t9-a") == 1


def test_threads_that_tell_while_it_folds_lose_nothing() -> None:
    told = Meter(fold_seconds=0.001)
    told.start()

    def tell() -> None:
        for _ in range(2000):
            told.verdicts([verdict(Stage("t10", True, 0.1))])
            told.called("t10", "answered", 0.001)

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    told.close()
    assert seen("weir_stages_total", stage="t10", outcome="ran", reason="") == 8000
    assert seen("weir_stage_seconds_count", stage="t10") == 8000


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 10)), max_size=40))
def test_rows_hold_every_value_once_in_any_order(seen: list[tuple[str, float]]) -> None:
    bounds = (0.5, 1.0, 5.0, float("inf"))
    found, turned = rows(bounds, seen), rows(bounds, seen[::-1])
    assert sum(sum(row[:-1]) for row in found.values()) == len(seen)
    assert {key: row[:-1] for key, row in found.items()} == {
        key: row[:-1] for key, row in turned.items()
    }
    for key, row in found.items():
        values = [value for one, value in seen if one == key]
        assert row[-1] == pytest.approx(sum(values))
        for at, bound in enumerate(bounds):
            assert sum(row[: at + 1]) == sum(value <= bound for value in values)


def test_a_request_is_as_dear_as_its_dearest_event() -> None:
    image = {"kind": "image", "sha256": "0" * 64, "path": "a"}
    video = image | {"kind": "video"}
    nothing = Event.model_validate({"event_id": "a", "text": ""})
    picture = Event.model_validate({"event_id": "b", "text": "x", "media": [image]})
    clip = Event.model_validate({"event_id": "c", "text": "x", "media": [image, video]})
    kinds = [content_kind(events) for events in ([nothing], [nothing, picture], [picture, clip])]
    assert kinds == ["account", "image", "video"]
