"""sample → review → collect-labels over a small lake of generated events, by their verbs."""

from __future__ import annotations

import argparse
import math
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.config import Labelling, SamplingArm, Settings, load_settings
from data_contracts.errors import BadInput, ConfigurationError, NothingToDo, ServiceUnavailable
from data_contracts.events import Event
from data_contracts.protocols import Scorer
from data_contracts.verdicts import Verdict
from pipelines import lake
from pipelines.labelling import collect, oracle, sampling
from pipelines.labelling.day_decisions import current_decisions, operating_threshold
from pipelines.labelling.event_features import EventEncoder, FrozenEncoder
from pipelines.labelling.pool import PoolMaker
from pipelines.labelling.queue import open_label_queue
from pipelines.labelling.samplers import Selection
from pipelines.labelling.sampling import new_tasks, sample_day

MONDAY, TUESDAY = "2026-01-05", "2026-01-06"
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
EVENTS_A_DAY = 40


class SilentGateway:
    """A scorer behind which no model answers."""

    def score(self, events: Sequence[Event]) -> Sequence[Verdict]:
        raise ServiceUnavailable("gateway is down; start it")


class RefusingGateway:
    """A scorer that one of the events does not suit."""

    def score(self, events: Sequence[Event]) -> Sequence[Verdict]:
        raise BadInput("instances[7] is too long")


class FixedScorer:
    """Scores event number i with i / 100 and acts from 0.3 on; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def score(self, events: Sequence[Event]) -> Sequence[Verdict]:
        self.asked += [event.event_id for event in events]
        return [fresh_verdict(event.event_id) for event in events]


class WordEncoder:
    """A direction for each text, far from all others; counts what it was asked."""

    version = "words-1"

    def __init__(self) -> None:
        self.asked = 0

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        self.asked += len(texts)
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> np.ndarray:
        vector = np.random.default_rng(zlib.crc32(text.encode())).normal(size=32)
        return (vector / np.linalg.norm(vector)).astype(np.float32)


def maker(
    settings: Settings,
    scorer: Scorer,
    encoder: EventEncoder | None = None,
    labelling: Labelling | None = None,
) -> PoolMaker:
    scratch = settings.cache / "sampling"
    encoder = encoder or FrozenEncoder(settings.data, settings.cache)
    return PoolMaker(settings.lake, scratch, labelling or settings.labelling, scorer, encoder)


def fresh_verdict(event_id: str) -> Verdict:
    score = 0.9 if event_id.startswith("disguised-") else int(event_id[-3:]) % 100 / 100
    action = "block" if score >= 0.3 else "allow"
    return Verdict(event_id, score, action, (), (), model_version="9", threshold_version="t")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A budget of ten; no gateway answers and no encoder can be had."""
    monkeypatch.setenv("WEIR_ASSET_CACHE", str(tmp_path / "no-assets"))
    return load_settings(
        {
            "WEIR_HOME": str(tmp_path),
            "WEIR__LABELLING__BUDGET": "10",
            "WEIR__LABELLING__DOUBLE_LABEL_SHARE": "0",
            "WEIR__DATA__DOWNLOAD": "false",
            "WEIR__SERVING__GATEWAY_PORT": "1",  # where nothing listens
        }
    )


def ids(day: str, n: int = EVENTS_A_DAY) -> list[str]:
    return [f"{day}-{i:03d}" for i in range(n)]


def write_events(settings: Settings, day: str, n: int = EVENTS_A_DAY) -> None:
    records = [
        {
            "event_id": event_id,
            "text": f"hello from a friend who would gladly meet you again: {event_id}",
            "occurred_at": NOON,
            "account_hash": None,
            "language": "en",
            "media": "[]",
            "context": "{}",
            "source": "generated",
        }
        for event_id in ids(day, n)
    ]
    lake.write(settings.lake, "events", day, lake.rows("events", records))


def verdict_row(event_id: str, score: float, **changes: Any) -> dict[str, Any]:
    row = {
        "event_id": event_id,
        "revision": 0,
        "score": score,
        "action": "block" if score >= 0.8 else "allow",
        "reasons": [],
        "stages": "[]",
        "model_version": "3",
        "threshold_version": "t",
        "arm": "stable",
        "mirrored": False,
        "decided_at": NOON,
    }
    return row | changes


def write_verdicts(settings: Settings, day: str, rows: list[dict[str, Any]]) -> None:
    lake.write(settings.lake, "verdicts", day, lake.rows("verdicts", rows))


def write_truth(settings: Settings, day: str, known: Sequence[str]) -> None:
    path = oracle.truth_file(settings.home, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = ["spam" if int(event_id[-1]) % 2 else "ham" for event_id in known]
    columns = {"event_id": list(known), "label": labels, "dataset": ["generated"] * len(known)}
    pq.write_table(pa.table(columns | {"group": list(range(len(known)))}), path)


def sample(settings: Settings, day: str = "pending", budget: int | None = None) -> dict[str, Any]:
    return sampling.run(argparse.Namespace(day=day, budget=budget), settings)


def review(settings: Settings, day: str = "pending") -> dict[str, Any]:
    return oracle.run(argparse.Namespace(day=day), settings)


def collect_labels(settings: Settings, day: str = "pending") -> dict[str, Any]:
    return collect.run(argparse.Namespace(day=day), settings)


def test_without_a_champion_the_whole_budget_goes_to_audit_and_the_result_says_so(
    settings: Settings,
) -> None:
    write_events(settings, MONDAY)
    result = sample(settings)
    assert result["days"] == [MONDAY]
    assert result["sampled"] == {"audit": 10}
    assert result["pool"] == EVENTS_A_DAY
    assert "audit 10; the audit has the part of cluster_margin" in result["reason"]
    assert "40 events have no score: scoring found no champion" in result["reason"]
    assert "events have no embedding (model asset multilingual-512" in result["reason"]


def test_a_refusal_to_score_is_named_and_leaves_the_audit_standing(settings: Settings) -> None:
    write_events(settings, MONDAY)
    chosen = sample_day(maker(settings, RefusingGateway()), MONDAY)
    assert chosen.selection.counts() == {"audit": 10}
    assert "scoring was refused (instances[7] is too long)" in chosen.reason


def test_with_embeddings_a_day_without_a_champion_has_its_diversity_arm(
    settings: Settings,
) -> None:
    write_events(settings, MONDAY)
    labelling = settings.labelling.model_copy(update={"budget": 30})
    made = maker(settings, SilentGateway(), WordEncoder(), labelling)
    chosen = sample_day(made, MONDAY)
    counts = chosen.selection.counts()
    assert counts["audit"] == 25  # .3, and .74 of the rest: two arms cannot judge
    assert counts["diversity/representatives"] >= 2
    assert "the audit has the part of cluster_margin, adversarial" in chosen.reason
    assert "no event has what this arm ranks by" in chosen.allocation.reasons["adversarial"]


def test_scores_of_the_lake_divide_the_budget_and_stay_with_the_tasks(settings: Settings) -> None:
    write_events(settings, MONDAY)
    rows = [
        verdict_row(event_id, i / 40, reasons=["link"]) for i, event_id in enumerate(ids(MONDAY))
    ]
    write_verdicts(settings, MONDAY, rows)
    labelling = settings.labelling.model_copy(update={"budget": 20, "double_label_share": 1.0})
    chosen = sample_day(maker(settings, FixedScorer(), WordEncoder(), labelling), MONDAY)
    arms = Counter(draw.arm for draw in chosen.selection.draws)
    assert arms == {
        "audit": 6, "cluster_margin": 8, "diversity": 2, "adversarial": 2, "time_sensitive": 2,
    }  # fmt: skip
    tasks = new_tasks(chosen, labelling, [])
    assert {task.model_version for task in tasks} == {"3"}
    assert {task.reasons for task in tasks} == {("link",)}
    assert {task.answers_wanted for task in tasks} == {2}
    scores = dict(zip(ids(MONDAY), [i / 40 for i in range(40)], strict=True))
    assert all(task.score == scores[task.draw.event_id] for task in tasks)


def test_only_events_without_a_stored_verdict_are_scored_afresh(settings: Settings) -> None:
    write_events(settings, MONDAY)
    stored = ids(MONDAY)[:25]
    write_verdicts(settings, MONDAY, [verdict_row(event_id, 0.1) for event_id in stored])
    scorer = FixedScorer()
    labelling = settings.labelling.model_copy(update={"flip_candidates": 0})
    chosen = sample_day(maker(settings, scorer, labelling=labelling), MONDAY)
    assert scorer.asked == ids(MONDAY)[25:]
    assert chosen.made.pool.scores[[0, 39]].tolist() == [0.1, 0.39]
    assert chosen.made.pool.threshold == 0.3


def test_a_rerun_embeds_nothing_again_and_another_encoder_everything(settings: Settings) -> None:
    write_events(settings, MONDAY)
    first, again, other = WordEncoder(), WordEncoder(), WordEncoder()
    other.version = "words-2"  # type: ignore[misc]
    for encoder in (first, again, other):
        sample_day(maker(settings, SilentGateway(), encoder), MONDAY)
    assert (first.asked, again.asked, other.asked) == (40, 0, 40)
    assert set(lake.read(settings.lake, "features", [MONDAY])["encoder"].to_pylist()) == {"words-2"}


def test_the_same_day_and_seed_choose_the_same_and_another_seed_otherwise(
    settings: Settings,
) -> None:
    for day in (MONDAY, TUESDAY):
        write_events(settings, day)
    labelling = settings.labelling
    other_seed = labelling.model_copy(update={"seed": labelling.seed + 1})

    def chosen(day: str, labelling: Labelling = labelling) -> Selection:
        return sample_day(maker(settings, FixedScorer(), WordEncoder(), labelling), day).selection

    first = chosen(MONDAY)
    assert first == chosen(MONDAY)
    assert first != chosen(MONDAY, other_seed)
    assert [one[-3:] for one in first.event_ids] != [one[-3:] for one in chosen(TUESDAY).event_ids]


def test_labels_of_earlier_days_divide_the_budget_and_what_they_cover_waits(
    settings: Settings,
) -> None:
    write_events(settings, MONDAY, 200)
    encoder = WordEncoder()
    labelling = settings.labelling.model_copy(update={"budget": 100})
    sample_day(maker(settings, FixedScorer(), encoder, labelling), MONDAY)  # leaves features
    arms = ["audit", "cluster_margin", "diversity"]
    records = [
        {
            "event_id": event_id,
            "label": "spam" if i % 3 == 0 else "ham",
            "source": "reviewer",
            "reviewer": "ana",
            "strategy": arms[i % 2] if i < 100 else arms[2] + "/representatives",
            "inclusion_probability": 0.5 if i < 100 and i % 2 == 0 else None,
            "observed_at": NOON,
            "batch": "b",
        }
        for i, event_id in enumerate(ids(MONDAY, 120))
    ]
    lake.write(settings.lake, "labels", MONDAY, lake.rows("labels", records))
    write_verdicts(settings, MONDAY, [verdict_row(one, 0.1) for one in ids(MONDAY, 200)])
    write_events(settings, TUESDAY)
    chosen = sample_day(maker(settings, FixedScorer(), encoder, labelling), TUESDAY)
    assert len(chosen.made.history) == 120
    assert len(chosen.made.pool.covered) == 120
    assert chosen.made.history.evaded.sum() == 40  # every spam label: the filter allowed them all
    for signal in ("evasion_similarity", "emergence", "novelty"):
        assert np.isfinite(chosen.made.pool.column(signal)).all()
    assert set(chosen.worth) == {"cluster_margin", "diversity"}
    assert math.isclose(sum(chosen.allocation.shares.values()), 1.0)
    assert min(chosen.allocation.shares.values()) > 0.0


def test_verdicts_that_a_disguise_turns_are_offered_to_reviewers(settings: Settings) -> None:
    write_events(settings, MONDAY)

    class Gullible(FixedScorer):
        """Allows every disguise."""

        def score(self, events: Sequence[Event]) -> Sequence[Verdict]:
            plain = [one for one in events if not one.event_id.startswith("disguised-")]
            if plain:
                return super().score(events)
            return [replace(fresh_verdict("x-000"), event_id=one.event_id) for one in events]

    chosen = sample_day(maker(settings, Gullible(), WordEncoder()), MONDAY)
    flips = chosen.made.pool.column("flip_share")
    assert np.flatnonzero(np.isfinite(flips)).tolist() == list(range(30, 40))  # acted on: .3 up
    assert set(flips[30:]) == {1.0}


def test_a_day_with_fewer_events_than_the_budget_is_taken_whole(settings: Settings) -> None:
    write_events(settings, MONDAY, 4)
    result = sample(settings)
    assert result["sampled"] == {"audit": 4}
    assert "the day has only 4 events for a budget of 10" in result["reason"]


def test_pending_takes_every_day_once_and_then_there_is_nothing_to_do(settings: Settings) -> None:
    for day in (TUESDAY, MONDAY):
        write_events(settings, day)
    assert sample(settings)["days"] == [MONDAY, TUESDAY]
    with pytest.raises(NothingToDo, match="no day is pending: 2 days"):
        sample(settings)


def test_a_day_without_events_is_not_pending_for_ever(settings: Settings) -> None:
    write_events(settings, MONDAY, 0)
    with pytest.raises(NothingToDo):
        sample(settings)


def test_sampling_a_day_again_changes_nothing_even_with_another_budget(settings: Settings) -> None:
    write_events(settings, MONDAY)
    first = sample(settings, MONDAY)
    again = sample(settings, MONDAY, budget=30)
    assert again["sampled"] == first["sampled"] == {"audit": 10}
    assert again["reason"] == f"{MONDAY}: sampled before"
    assert again["shares"] == {}


def test_wrong_settings_are_refused_by_name(settings: Settings) -> None:
    write_events(settings, MONDAY)
    with pytest.raises(ConfigurationError, match="--budget 0"):
        sample(settings, budget=0)
    arms = {"magic": SamplingArm(share=1.0, floor=0.1)}
    unknown = settings.labelling.model_copy(update={"arms": arms})
    with pytest.raises(ConfigurationError, match=r"labelling.arms.magic: .*'magic' is none of"):
        sample_day(maker(settings, SilentGateway(), labelling=unknown), MONDAY)
    with pytest.raises(BadInput, match="nothing in"):
        sample(settings, TUESDAY)


def test_the_highest_revision_decides_and_mirrored_rows_never_count() -> None:
    later = NOON + timedelta(hours=1)
    rows = [
        verdict_row("a", 0.1, revision=0, decided_at=later),
        verdict_row("a", 0.9, revision=1),
        verdict_row("a", 0.5, revision=2, mirrored=True, arm="shadow"),
        verdict_row("b", 0.2, model_version="3"),
        verdict_row("b", 0.3, model_version="4", decided_at=later),
        verdict_row("c", 0.7, arm="shadow", mirrored=True),
    ]
    for order in (rows, rows[::-1]):
        decisions = current_decisions(lake.rows("verdicts", order)).to_pylist()
        assert [(row["event_id"], row["score"], row["model_version"]) for row in decisions] == [
            ("a", 0.9, "3"),
            ("b", 0.3, "4"),
        ]


def test_the_operating_threshold_is_read_off_the_decisions_by_hand() -> None:
    scores = np.array([0.9, 0.1, 0.5, 0.5, 0.7])
    assert operating_threshold(scores, scores >= 0.5) == 0.5
    assert operating_threshold(scores, scores >= 0.95) == 0.5  # acted on nothing: unknown
    assert operating_threshold(scores, scores >= 0.0) == 0.1
    odd = np.array([True, True, False, False, True])  # a known-bad hash blocked the 0.1
    assert operating_threshold(scores, odd) == 0.7
    assert operating_threshold(np.array([]), np.array([], bool)) == 0.5


def test_the_oracle_answers_from_the_truth_and_says_so_on_every_label(settings: Settings) -> None:
    write_events(settings, MONDAY)
    write_truth(settings, MONDAY, ids(MONDAY))
    sample(settings)
    result = review(settings)
    assert result == {
        "days": [MONDAY],
        "labels": 10,
        "unknown": 0,
        "reviewer": "demo-oracle",
        "source": "oracle",
    }
    labels = open_label_queue(settings.state_url, 60).labels(MONDAY)
    assert {(label.reviewer, label.source) for label in labels} == {("demo-oracle", "oracle")}
    assert all((label.label == "spam") == bool(int(label.event_id[-1]) % 2) for label in labels)
    with pytest.raises(NothingToDo, match="no day is pending"):
        review(settings)


def test_without_truth_the_oracle_stands_back(settings: Settings) -> None:
    write_events(settings, MONDAY)
    sample(settings)
    with pytest.raises(NothingToDo, match="truth has none of the days"):
        review(settings)
    assert open_label_queue(settings.state_url, 60).progress()[MONDAY]["open"] == 10


def test_the_oracle_gives_back_what_the_truth_does_not_know(settings: Settings) -> None:
    write_events(settings, MONDAY, 10)
    write_truth(settings, MONDAY, ids(MONDAY)[:4])
    sample(settings)
    assert review(settings) | {"days": []} == {
        "days": [],
        "labels": 4,
        "unknown": 6,
        "reviewer": "demo-oracle",
        "source": "oracle",
    }
    progress = open_label_queue(settings.state_url, 60).progress()[MONDAY]
    assert (progress["open"], progress["leased"], progress["labelled"]) == (6, 0, 4)
    with pytest.raises(NothingToDo, match="6 are not in it"):
        review(settings)


def test_a_truth_file_that_is_none_is_bad_input(settings: Settings) -> None:
    write_events(settings, MONDAY)
    sample(settings)
    path = oracle.truth_file(settings.home, MONDAY)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not parquet")
    with pytest.raises(BadInput, match="not the truth of a day"):
        review(settings)


def test_the_oracle_pauses_before_each_answer(settings: Settings) -> None:
    write_events(settings, MONDAY, 3)
    sample(settings)
    queue, pauses = open_label_queue(settings.state_url, 60), []
    truth = dict.fromkeys(ids(MONDAY, 3), "ham")
    oracle.review_day(queue, MONDAY, truth, lambda: NOON, lambda: pauses.append(1))
    assert len(pauses) == 3


def test_collected_labels_carry_strategy_probability_and_provenance(settings: Settings) -> None:
    write_events(settings, MONDAY)
    write_truth(settings, MONDAY, ids(MONDAY))
    sample(settings)
    review(settings)
    assert collect_labels(settings) == {"days": [MONDAY], "labels": 10, "total": 10}
    rows = lake.read(settings.lake, "labels", [MONDAY]).to_pylist()
    assert {(row["strategy"], row["inclusion_probability"]) for row in rows} == {("audit", 0.25)}
    assert {(row["source"], row["reviewer"]) for row in rows} == {("oracle", "demo-oracle")}
    assert len(lake.labelled_events(settings.lake)) == 10


def test_collecting_again_finds_nothing_until_there_are_new_labels(settings: Settings) -> None:
    write_events(settings, MONDAY)
    sample(settings)
    queue = open_label_queue(settings.state_url, 60)
    with pytest.raises(NothingToDo):
        collect_labels(settings)
    assert lake.days(settings.lake, "labels") == []
    first, second = queue.lease("ana", 2, NOON)
    queue.submit(first.id, "ana", "spam", NOON)
    assert collect_labels(settings) == {"days": [MONDAY], "labels": 1, "total": 1}
    with pytest.raises(NothingToDo, match="no new labels: 1 days"):
        collect_labels(settings)
    queue.submit(second.id, "ana", "ham", NOON)
    assert collect_labels(settings) == {"days": [MONDAY], "labels": 1, "total": 2}
    assert collect_labels(settings, MONDAY) == {"days": [MONDAY], "labels": 0, "total": 2}


def test_a_day_named_by_hand_without_labels_is_left_alone(settings: Settings) -> None:
    write_events(settings, MONDAY)
    sample(settings)
    with pytest.raises(NothingToDo):
        collect_labels(settings, MONDAY)
    assert lake.days(settings.lake, "labels") == []
