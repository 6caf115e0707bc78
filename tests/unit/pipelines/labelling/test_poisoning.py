"""A batch that flips one campaign is caught, its honest neighbours are not; by hand and whole."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import NothingToDo
from data_contracts.labels import LabelName
from pipelines import lake
from pipelines.labelling import check_labels
from pipelines.labelling.beyond_chance import CAUTIOUS, fitted_concentration, holm, tail
from pipelines.labelling.cluster_rates import Cells
from pipelines.labelling.held_back_model import (
    Booleans,
    Floats,
    Integers,
    TextModel,
    expected_rates,
    held_back_scores,
)
from pipelines.labelling.label_evidence import Answered
from pipelines.labelling.poisoning import judge, others_said
from pipelines.labelling.queue import LabelQueue, NewTask, open_label_queue
from pipelines.labelling.samplers.base import Draw

DAY = "2026-01-05"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
REVIEWERS = [f"reviewer-{number}" for number in range(6)]
CULPRIT = f"{DAY}/{REVIEWERS[0]}"
SPAM_WORDS = {
    "prize": "claim your prize money winner lottery draw bonus reward ticket lucky",
    "loan": "cheap loan credit approved debt interest rate bank mortgage instant",
}
HAM_WORDS = {
    "family": "mother dinner home kids school weekend birthday garden visit sunday",
    "work": "meeting report project office deadline slides review budget team call",
}
TOPICS = {topic: words.split() for topic, words in (SPAM_WORDS | HAM_WORDS).items()}


class WordEncoder:
    """Texts of one topic lie close together."""

    def encode(self, text: str) -> np.ndarray:
        words = text.split()
        counts = np.array([sum(word in words for word in topic) for topic in TOPICS.values()], "f4")
        return counts / max(float(np.linalg.norm(counts)), 1e-6)


def texts_of(topic: str, n: int, rng: np.random.Generator) -> list[str]:
    return [" ".join(rng.choice(TOPICS[topic], 6, replace=False)) for _ in range(n)]


def columns(**given: Sequence[object]) -> Answered:
    """Answers by hand: each event is its own group and cluster unless told otherwise."""
    n = len(given["batches"])
    events = np.array(given.get("events", [f"e{row}" for row in range(n)]))
    seen = {event: row for row, event in enumerate(dict.fromkeys(events.tolist()))}
    number = np.array([seen[event] for event in events.tolist()])
    return Answered(
        batches=np.array(given["batches"]),
        reviewers=np.array(given.get("reviewers", given["batches"])),
        events=events,
        spam=np.array(given["spam"], dtype=bool),
        gold=np.array(given.get("gold", [-1] * n), dtype=np.int8),
        settles=np.array(given.get("settles", [False] * n), dtype=bool),
        groups=np.array(given.get("groups", number), dtype=np.int64),
        clusters=np.array(given.get("clusters", number), dtype=np.int64),
        texts=number,
    )


class Silent:
    """A model that knows nothing of any text."""

    def taught(self, rows: Integers, spam: Booleans, asked: Integers) -> Floats:
        return np.full(len(asked), np.nan)


def new_rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_tail_of_a_uniform_rate_counts_outcomes() -> None:
    assert tail(0, 4, 0.5, 2.0) == pytest.approx(1.0)
    assert tail(3, 4, 0.5, 2.0) == pytest.approx(2 / 5)
    assert tail(60, 60, 0.001, 200.0) < 1e-16


def test_tail_falls_with_disagreement_and_rises_with_dispersion() -> None:
    values = [tail(k, 20, 0.05, 50.0) for k in range(21)]
    assert values == sorted(values, reverse=True)
    assert tail(10, 20, 0.05, 5.0) > tail(10, 20, 0.05, 200.0)


def test_holm_multiplies_by_the_tests_that_are_left_and_never_decreases() -> None:
    assert holm([0.04, 0.01, 0.03]).tolist() == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_concentration_is_high_for_like_batches_low_for_unlike_and_cautious_for_few() -> None:
    n = np.full(10, 100.0)
    assert fitted_concentration(np.full(10, 5.0), n, 0.05) == 200.0
    assert fitted_concentration(np.array([0.0, 50.0] * 5), n, 0.25) < 10.0
    assert fitted_concentration(np.zeros(10), n, 0.01) == 200.0, "few errors are no dispersion"
    assert fitted_concentration(np.full(3, 5.0), np.full(3, 100.0), 0.05) == CAUTIOUS


def test_expected_rates_leave_out_the_own_teacher() -> None:
    disagrees = np.array([True, True, False, False])
    rates = expected_rates(np.zeros(4, np.int64), disagrees, np.array([0, 0, 1, 1]))
    assert rates.tolist() == [1 / 4, 1 / 4, 3 / 4, 3 / 4]  # (0 + 1) / (2 + 2), (2 + 1) / (2 + 2)


def test_the_others_disagreements_move_the_rate_of_a_cluster_by_hand() -> None:
    """a: 0 of 2, b: 3 of 4 against a model that is expected to be contradicted in 10 %."""
    labels = columns(batches=["a"] * 2 + ["b"] * 4, spam=[True] * 6, clusters=[0] * 6)
    wrong = np.array([False, False, True, True, True, False])
    cells = Cells.of(labels, wrong, np.full(6, 0.1))
    assert cells.batches.tolist() == ["a", "b"]
    assert cells.rates.tolist() == pytest.approx([0.1 * (1 + 3) / (1 + 0.4), 0.1 * 1 / (1 + 0.2)])
    assert cells.concentrations.tolist() == pytest.approx([10.0, 11.0])


def test_no_row_is_scored_by_its_own_teacher_or_group() -> None:
    teachers, groups = np.repeat(np.arange(6), 40), np.tile(np.arange(60), 4)
    seen: list[tuple[set[int], set[int]]] = []

    class Recorder:
        def taught(self, rows: Integers, spam: Booleans, asked: Integers) -> Floats:
            assert not set(teachers[rows]) & set(teachers[asked])
            assert not set(groups[rows]) & set(groups[asked])
            seen.append((set(rows), set(asked)))
            return np.full(len(asked), 0.5)

    spam = np.arange(240) % 2 == 0
    scores = held_back_scores(Recorder(), np.arange(240), spam, teachers, groups, new_rng())
    assert len(seen) == 20
    assert not np.isnan(scores).any()


def test_others_speak_for_near_duplicates_and_the_adjudicator_overrules_them() -> None:
    answered = columns(
        batches=["a", "b", "c", "a", "b", "judge", "a"],
        events=["x", "x", "x2", "y", "y", "y", "z"],
        groups=[0, 0, 0, 1, 1, 1, 2],
        spam=[False, True, True, True, False, True, True],
        settles=[False, False, False, False, False, True, False],
    )
    said, known = others_said(answered)
    assert known.tolist() == [
        True,
        False,
        False,
        True,
        True,
        False,
        False,
    ]  # b against a and c: 1:1
    assert said[known].tolist() == [True, True, True]


def test_a_batch_that_fails_gold_questions_is_quarantined_and_says_so() -> None:
    batches = ["bad"] * 10 + [name for name in "abcdef" for _ in range(10)]
    gold = [1, 0] * 35
    spam = [False, True] * 5 + [True, False] * 30
    found = judge(
        columns(batches=batches, gold=gold, spam=spam), Silent(), {*batches}, new_rng
    )  # fmt: skip
    assert [one.batch for one in found if one.quarantine] == ["bad"]
    reason = next(one.reason for one in found if one.quarantine)
    assert reason.startswith("10 of 10 answers disagree with gold questions, expected 0.1; p = ")
    assert "look at e0, e1, e2" in reason


def test_the_victims_of_a_culprit_are_not_accused() -> None:
    """`bad` contradicts six others on five events each; each of them has only that against it."""
    batches, events, spam = [], [], []
    for number, name in enumerate("abcdef"):
        for event in range(40):
            shared = event < 5
            other = "bad" if shared else "abcdef"[(number + 1) % 6]
            batches += [name, other]
            events += [f"{name}{event}"] * 2
            spam += [True, not shared]
    answered = columns(batches=batches, events=events, spam=spam)
    found = judge(answered, Silent(), {*batches}, new_rng)
    assert [one.batch for one in found if one.quarantine] == ["bad"]


@pytest.mark.parametrize("culprit", ["a", None])
def test_who_calls_all_spam_ham_is_seen_by_what_people_know_to_be_spam(culprit: str | None) -> None:
    """Eight reviewers of fifty events, six of them spam: three are gold questions, three another
    answers, too. Either is too little to be heard, and six errors in fifty are no scandal."""
    names = list("abcdefgh")
    rows = [
        (who, f"{name}{row}", row < 6 and who != culprit, 1 if row < 3 else 0 if row > 46 else -1)
        for place, name in enumerate(names)
        for row in range(50)
        for who in [name] + [names[(place + 1 + row % 7) % 8]] * (3 <= row < 6 or 40 <= row < 47)
    ]
    batches, events, spam, gold = zip(*rows, strict=True)
    answered = columns(batches=batches, events=events, spam=spam, gold=gold)
    found = judge(answered, Silent(), set(names), new_rng)
    accused = {one.batch: one.findings[0].witness for one in found if one.quarantine}
    assert accused == ({"a": "gold questions and others about spam"} if culprit else {})


def test_one_error_in_one_answer_is_no_sign_that_batches_differ() -> None:
    """One of four who were asked once erred, and one in twenty of five who were asked more."""
    few, many = ["w", "x", "y", "z"], [name for name in "abcde" for _ in range(20)]
    wrong = [name == "w" for name in few] + ([True] + [False] * 19) * 5 + [True] * 6
    batches, spam = [*few, *many, *["bad"] * 6], [not one for one in wrong]
    answered = columns(batches=batches, spam=spam, gold=[1] * len(spam))
    (found,) = judge(answered, Silent(), {"bad"}, new_rng)
    assert found.findings[0].expected == pytest.approx(6 * 7 / 154)  # (6 + 1) / (104 + 50)
    assert found.findings[0].p_value < 1e-6  # 3e-4 if batches differed as these seem to


def test_a_batch_without_any_witness_is_not_accused_and_says_why() -> None:
    found = judge(columns(batches=["a"] * 3, spam=[True] * 3), Silent(), {"a"}, new_rng)
    assert [(one.quarantine, one.findings) for one in found] == [(False, ())]
    assert found[0].reason.startswith("no witness")


def test_a_cluster_in_which_everybody_contradicts_the_model_is_the_models_fault() -> None:
    """The model calls cluster 9 ham; eight reviewers call it spam."""
    n, names = 800, list("abcdefgh")
    truth = np.arange(n) % 2 == 0
    clusters = np.where(np.arange(n) < 100, 9, np.arange(n) // 2 % 7)
    truth[clusters == 9] = True

    class Stubborn:
        def taught(self, rows: Integers, spam: Booleans, asked: Integers) -> Floats:
            return np.where(clusters[asked] == 9, 0.1, np.where(truth[asked], 0.9, 0.1))

    batches = [names[row % 8] for row in range(n)]
    together = columns(batches=batches, spam=list(truth), clusters=list(clusters))
    assert not any(one.quarantine for one in judge(together, Stubborn(), set(names), new_rng))
    ham = truth.copy()
    mine = np.array([name == "a" for name in batches]) & (clusters == 3)
    ham[mine] = ~ham[mine]
    flipped = columns(batches=batches, spam=list(ham), clusters=list(clusters))
    found = judge(flipped, Stubborn(), set(names), new_rng)
    assert [one.batch for one in found if one.quarantine] == ["a"]
    assert next(one for one in found if one.quarantine).findings[0].cluster == 3


# The whole step, on a real queue and a small lake.


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path_factory.mktemp("home"))})


@pytest.fixture
def queue(settings: Settings) -> LabelQueue:
    """360 events of four topics; the culprit calls its part of one campaign ham."""
    rng = np.random.default_rng(0)
    made = [(topic, text) for topic in TOPICS for text in texts_of(topic, 90, rng)]
    made = [made[row] for row in rng.permutation(len(made))]
    events = {f"event-{row:03d}": topic_text for row, topic_text in enumerate(made)}
    records = [
        {
            "event_id": event_id, "text": text, "occurred_at": NOON, "account_hash": None,
            "language": "en", "media": "[]", "context": "{}", "source": "gateway",
        }
        for event_id, (_, text) in events.items()
    ]  # fmt: skip
    lake.write(settings.lake, "events", DAY, lake.rows("events", records))
    queue = open_label_queue(settings.state_url, 600)
    queue.enqueue([NewTask(Draw(event_id, "audit", 1.0), DAY) for event_id in events], NOON)
    for step in range(12):
        for reviewer in REVIEWERS:
            for task in queue.lease(reviewer, 5, NOON, day=DAY):
                topic = events[task.event_id][0]
                flips = reviewer == REVIEWERS[0] and topic == "loan"
                label: LabelName = "spam" if topic in SPAM_WORDS and not flips else "ham"
                queue.submit(task.id, reviewer, label, NOON + timedelta(minutes=step))
    return queue


def test_the_poisoned_batch_is_quarantined_with_its_evidence(
    settings: Settings, queue: LabelQueue
) -> None:
    found = check_labels.check_day(queue, DAY, settings, WordEncoder(), NOON)
    assert found is not None
    assert [one.batch for one in found if one.quarantine] == [CULPRIT]
    states = {one.batch: one for one in queue.batches()}
    assert states[CULPRIT].state == "quarantined"
    assert states[CULPRIT].by == "check-labels"
    assert "expected" in states[CULPRIT].reason
    assert CULPRIT not in {label.batch for label in queue.labels(DAY)}
    report = orjson.loads((settings.reports / "label-checks" / f"day={DAY}.json").read_bytes())
    worst = next(one for one in report["batches"] if one["quarantined"])
    assert worst["findings"][0]["corrected"] <= report["significance"]
    assert "claim" not in str(report), "no text of a user in the report"


def test_checking_again_changes_nothing(settings: Settings, queue: LabelQueue) -> None:
    check_labels.check_day(queue, DAY, settings, WordEncoder(), NOON)
    before = queue.batches()
    assert check_labels.check_day(queue, DAY, settings, WordEncoder(), NOON) is None
    (settings.reports / "label-checks" / f"day={DAY}.json").unlink()
    again = check_labels.check_day(queue, DAY, settings, WordEncoder(), NOON)
    assert again is not None
    assert not any(one.quarantine for one in again)
    assert queue.batches() == before


def test_a_batch_that_a_person_accepted_is_not_accused_again(
    settings: Settings, queue: LabelQueue
) -> None:
    check_labels.check_day(queue, DAY, settings, WordEncoder(), NOON)
    queue.set_batch_state(CULPRIT, "accepted", "a loan firm we know", "ada", NOON)
    found = check_labels.check_day(queue, DAY, settings, WordEncoder(), NOON)
    assert found is not None
    assert CULPRIT not in {one.batch for one in found}
    assert {one.state for one in queue.batches()} == {"accepted"}


def test_the_step_skips_where_nothing_was_answered(settings: Settings) -> None:
    open_label_queue(settings.state_url, 600)
    with pytest.raises(NothingToDo):
        check_labels.run(argparse.Namespace(day="pending"), settings)


def test_the_text_model_tells_topics_apart_that_it_was_taught() -> None:
    rng = np.random.default_rng(1)
    texts = texts_of("loan", 40, rng) + texts_of("work", 40, rng)
    encoder = WordEncoder()
    model = TextModel(texts, np.array([encoder.encode(text) for text in texts]))
    spam = np.arange(80) < 40
    taught, asked = np.arange(0, 80, 2), np.arange(1, 80, 2)
    assert ((model.taught(taught, spam[taught], asked) >= 0.5) == spam[asked]).all()
    with pytest.raises(ValueError, match="80 texts for 3 embeddings"):
        TextModel(texts, np.zeros((3, 2), np.float32))
