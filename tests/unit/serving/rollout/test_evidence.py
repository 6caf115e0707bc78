"""What the judge is told, from lines as Envoy and the model servers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from pipelines import lake
from serving.rollout.analysis import ALL, ArmSlice, Labelled, PairedSlice, Pairs, Sample
from serving.rollout.evidence import Guardrails, PhaseEvidence
from serving.rollout.latency_histogram import LatencyHistogram
from serving.rollout.targets.base import Counters

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def request(arm: str | None, status: int = 200, **changes: object) -> dict[str, Any]:
    version = "2" if arm == "canary" else "1"
    return {
        "time": "2026-01-05T12:00:01.000000Z", "route": "predict", "arm": arm, "status": status,
        "microseconds": 4000, "attempts": 1, "flags": "-", "model_version": version, **changes,
    }  # fmt: skip


def decision(event_id: str, arm: str, action: str, **changes: object) -> dict[str, Any]:
    version = "2" if arm == "shadow" else "1"
    verdict = {
        "event_id": event_id, "action": action, "arm": arm, "model_version": version,
        "score": 0.95 if action == "block" else 0.01,
    }  # fmt: skip
    at = (NOON + timedelta(seconds=1)).isoformat()
    return {"verdict": verdict | changes, "decided_at": at, "milliseconds": 3.0,
            "event": {"language": "en"}}  # fmt: skip


def label(event_id: str, said: str, chance: float | None = None) -> dict[str, Any]:
    return {
        "event_id": event_id, "label": said, "source": "reviewer", "reviewer": "r",
        "strategy": "audit" if chance else "margin", "inclusion_probability": chance,
        "observed_at": NOON + timedelta(hours=1), "batch": "b",
    }  # fmt: skip


def times(*milliseconds: float) -> LatencyHistogram:
    return LatencyHistogram.of(milliseconds)


class Files:
    def __init__(self, folder: Path) -> None:
        self.log = folder / "logs" / "gateway-access.jsonl"
        self.decisions = folder / "decisions"
        self.lake = folder / "lake"
        self.log.parent.mkdir()
        self.decisions.mkdir()

    def write(self, path: Path, *lines: dict[str, Any]) -> None:
        with path.open("ab") as file:
            file.writelines(orjson.dumps(line) + b"\n" for line in lines)

    def label(self, *labels: dict[str, Any], day: str = "2026-01-05") -> None:
        lake.write(self.lake, "labels", day, lake.rows("labels", labels))

    def evidence(self, guardrails: Guardrails | None = None) -> PhaseEvidence:
        return PhaseEvidence(self.log, self.decisions, NOON, "2", self.lake, guardrails)

    def pairs(self) -> Pairs:
        return self.evidence().mirrored(Counters(0, 0))[2]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_without_files_there_is_no_traffic(files: Files) -> None:
    assert files.evidence().live() == (Sample(0, 0, times()), Sample(0, 0, times()))


def test_live_requests_are_counted_by_arm_with_their_milliseconds(files: Files) -> None:
    files.write(files.log, request("canary"), request("baseline"), request("stable"))
    assert files.evidence().live() == (Sample(1, 0, times(4.0)), Sample(1, 0, times(4.0)))


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 500},
        {"status": 404},
        {"attempts": 2},  # it failed, and somebody else answered
        {"model_version": "1"},  # the fallback answered at once
    ],
)
def test_what_the_canary_did_not_answer_itself_is_its_error(
    files: Files, changes: dict[str, Any]
) -> None:
    files.write(files.log, request("canary") | changes)
    assert files.evidence().live()[0] == Sample(1, 1, times())


@pytest.mark.parametrize(
    "changes",
    [
        {"time": "2026-01-05T11:59:59.999999Z"},  # the phase before
        {"route": "protocol"},
        {"arm": None, "status": 413},
        {"status": 0, "flags": "DC"},  # the client went away
    ],
)
def test_what_says_nothing_about_the_canary_is_left_out(
    files: Files, changes: dict[str, Any]
) -> None:
    files.write(files.log, request("canary") | changes)
    assert files.evidence().live()[0].requests == 0


def test_shadow_pairs_actions_on_the_same_events_once_each(files: Files) -> None:
    one = decision("e1", "stable", "allow"), decision("e1", "shadow", "allow")
    other = decision("e2", "stable", "allow"), decision("e2", "shadow", "block")
    files.write(files.decisions / "a.jsonl", one[0], other[0], other[0])
    files.write(files.decisions / "b.jsonl", one[1], other[1], decision("e3", "shadow", "block"))
    files.write(files.log, request("stable"), request("stable", 500))
    canary, reference, pairs = files.evidence().mirrored(Counters(9, 4))
    assert (pairs.events, pairs.disagreements) == (2, 1)
    assert pairs.slices[ALL] == PairedSlice(2, only_canary=Labelled(1))
    assert list(pairs.slices) == [ALL, "language=en", "modality=text"]
    assert canary == Sample(9, 4, times(3.0, 3.0, 3.0), (1, 0, 0, 0, 0, 0, 2, 0))
    assert (reference.requests, reference.errors) == (2, 1)


def test_acting_harder_on_the_same_event_is_no_disagreement(files: Files) -> None:
    pair = decision("e1", "stable", "review"), decision("e1", "shadow", "block")
    files.write(files.decisions / "a.jsonl", *pair)
    assert files.pairs().slices[ALL] == PairedSlice(1, both=Labelled(1))


def test_decisions_of_other_versions_do_not_count(files: Files) -> None:
    files.write(
        files.decisions / "a.jsonl",
        decision("e1", "stable", "allow"),
        decision("e1", "shadow", "block", model_version="7"),
    )
    assert files.pairs() == Pairs(0, 0)


def test_a_growing_log_is_read_on_and_half_a_line_waits_for_its_end(files: Files) -> None:
    evidence = files.evidence()
    files.write(files.log, request("canary"))
    assert evidence.live()[0].requests == 1
    line = orjson.dumps(request("canary"))
    with files.log.open("ab") as file:
        file.write(line[:20])
    assert evidence.live()[0].requests == 1
    with files.log.open("ab") as file:
        file.write(line[20:] + b"\n")
    assert evidence.live()[0].requests == 2


def test_a_rotated_log_is_neither_lost_nor_counted_twice(files: Files) -> None:
    evidence = files.evidence()
    files.write(files.log, request("canary"))
    assert evidence.live()[0].requests == 1
    files.write(files.log, request("canary"))
    files.log.rename(files.log.with_name(f"{files.log.name}.1"))
    files.write(files.log, request("canary"))
    assert evidence.live()[0].requests == 3


def test_a_line_that_a_killed_server_left_broken_is_passed_over(files: Files) -> None:
    (files.decisions / "a.jsonl").write_bytes(b'{"verdict": {"eve\n')
    files.write(files.decisions / "a.jsonl", decision("e1", "stable", "allow"))
    files.write(files.decisions / "b.jsonl", decision("e1", "shadow", "allow"))
    assert files.pairs().events == 1


def test_late_labels_of_disputed_events_count_by_who_acted(files: Files) -> None:
    files.write(
        files.decisions / "a.jsonl",
        decision("new", "stable", "allow"), decision("new", "shadow", "block"),
        decision("lost", "stable", "review"), decision("lost", "shadow", "allow"),
        decision("open", "stable", "allow"), decision("open", "shadow", "block"),
    )  # fmt: skip
    evidence = files.evidence()
    assert evidence.mirrored(Counters(0, 0))[2].slices[ALL].only_canary == Labelled(2)
    files.label(label("new", "ham"), label("lost", "spam"), label("of another day", "ham"))
    whole = evidence.mirrored(Counters(0, 0))[2].slices["language=en"]
    assert whole == PairedSlice(3, Labelled(2, ham=1), Labelled(1, spam=1))


def test_of_what_both_act_on_only_drawn_labels_count_by_what_they_stand_for(files: Files) -> None:
    for event in ("drawn", "chosen"):
        pair = decision(event, "stable", "block"), decision(event, "shadow", "block")
        files.write(files.decisions / "a.jsonl", *pair)
    files.label(label("drawn", "spam", 0.25), label("chosen", "ham"))
    assert files.pairs().slices[ALL].both == Labelled(2, spam=4.0)


def test_live_arms_have_their_own_events_scores_and_drawn_labels(files: Files) -> None:
    files.write(
        files.decisions / "a.jsonl",
        decision("a", "canary", "block", model_version="2"),
        decision("a", "canary", "block", model_version="2"),
        decision("b", "canary", "allow", model_version="2"),
        decision("c", "baseline", "block"),
        decision("d", "baseline", "block", model_version="2"),  # another model than the champion
    )
    files.label(label("a", "ham", 0.5), label("c", "spam"))
    canary, baseline = files.evidence().live()
    assert canary.slices[ALL] == ArmSlice(2, Labelled(1, ham=1))
    assert baseline.slices[ALL] == ArmSlice(1, Labelled(1))
    assert canary.scores == (1, 0, 0, 0, 0, 0, 2, 0)
    assert baseline.scores == (0, 0, 0, 0, 0, 0, 1, 0)


def test_media_make_a_slice_of_their_own(files: Files) -> None:
    event = {"language": None, "media": [{"kind": "video"}, {"kind": "image"}]}
    for arm in ("stable", "shadow"):
        files.write(files.decisions / "a.jsonl", decision("e", arm, "allow") | {"event": event})
    assert list(files.pairs().slices) == [ALL, "language=unknown", "modality=image+video"]


def test_guardrails_are_what_the_business_counted_of_each_arm(files: Files) -> None:
    counts = {"canary": {"appeals": 3}, "baseline": {"appeals": 1}}
    canary, baseline = files.evidence(lambda arm, since: counts[arm]).live()
    assert (canary.guardrails, baseline.guardrails) == (counts["canary"], counts["baseline"])


def test_a_label_that_changed_its_mind_counts_as_it_stands(files: Files) -> None:
    pair = decision("e", "stable", "allow"), decision("e", "shadow", "block")
    files.write(files.decisions / "a.jsonl", *pair)
    evidence = files.evidence()
    files.label(label("e", "ham"))
    assert evidence.mirrored(Counters(0, 0))[2].slices[ALL].only_canary == Labelled(1, ham=1)
    later = label("e", "spam") | {"observed_at": NOON + timedelta(hours=2)}
    files.label(label("e", "ham"), later)
    assert evidence.mirrored(Counters(0, 0))[2].slices[ALL].only_canary == Labelled(1, spam=1)


def test_labels_of_days_before_the_phase_are_not_read(files: Files) -> None:
    pair = decision("e", "stable", "allow"), decision("e", "shadow", "block")
    files.write(files.decisions / "a.jsonl", *pair)
    files.label(label("e", "ham"), day="2026-01-04")
    assert files.pairs().slices[ALL].only_canary == Labelled(1)
