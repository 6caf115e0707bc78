"""Gold questions hide among the day's tasks; doubles are drawn by the event."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipelines.labelling.double_labelling import answers_wanted
from pipelines.labelling.gold_questions import gold_tasks
from pipelines.labelling.queue import KnownAnswer, NewTask
from pipelines.labelling.samplers import Draw

DAY = "2026-01-06"
TASKS = [
    NewTask(Draw(f"e{i}", "audit" if i % 3 else "margin", 0.5), DAY, 0.4, "7") for i in range(90)
]
KNOWN = [KnownAnswer(f"k{i}", "spam", 0.9, ("link",), sensitive=i == 0) for i in range(40)]


def mixed(seed: int = 1, share: float = 0.1) -> list[NewTask]:
    return gold_tasks(TASKS, KNOWN, share, np.random.default_rng(seed))


def test_the_share_is_of_the_whole_and_the_day_keeps_its_order() -> None:
    day = mixed()
    gold = [task for task in day if task.gold is not None]
    assert (len(day), len(gold)) == (100, 10)
    assert [task for task in day if task.gold is None] == TASKS
    assert {task.draw.event_id for task in gold} <= {known.event_id for known in KNOWN}
    assert {task.gold for task in gold} == {"spam"}


def test_a_question_looks_like_a_task_of_the_day_and_weighs_nothing() -> None:
    for task in mixed():
        if task.gold is not None:
            assert task.draw.strategy in {"audit", "margin"}
            assert (task.day, task.model_version, task.score) == (DAY, "7", 0.9)
            assert task.reasons == ("link",)
            assert task.draw.inclusion_probability is None


def test_places_are_spread_evenly_over_the_day_and_repeat_with_the_seed() -> None:
    assert mixed() == mixed()
    places = [i for seed in range(200) for i, task in enumerate(mixed(seed)) if task.gold]
    quarters = np.histogram(places, bins=4, range=(0, 100))[0]
    assert quarters.sum() == 2000
    assert quarters == pytest.approx(500, abs=80)  # four standard deviations


def test_events_of_the_day_are_no_questions_and_few_known_answers_give_few() -> None:
    known = [KnownAnswer("e1", "ham", None, (), sensitive=False), KNOWN[1]]
    day = gold_tasks(TASKS, known, 0.5, np.random.default_rng(1))
    assert [task.draw.event_id for task in day if task.gold] == ["k1"]
    assert gold_tasks(TASKS, [], 0.5, np.random.default_rng(1)) == TASKS
    assert gold_tasks([], KNOWN, 0.5, np.random.default_rng(1)) == []
    with pytest.raises(ValueError, match=r"share 1.0 .* labelling.gold_share"):
        mixed(share=1.0)


def test_half_of_the_questions_are_spam_however_rare_it_is_among_the_known() -> None:
    """Who calls all spam ham would pass questions that are ham as seldom as spam is."""
    ham = [KnownAnswer(f"h{i}", "ham", 0.1, (), sensitive=False) for i in range(400)]
    for spam, expected in ((KNOWN, {"spam": 5, "ham": 5}), (KNOWN[:2], {"spam": 2, "ham": 8})):
        day = gold_tasks(TASKS, [*ham, *spam], 0.1, np.random.default_rng(3))
        assert Counter(task.gold for task in day if task.gold) == expected


def test_doubles_are_a_share_and_another_seed_draws_others() -> None:
    events = [f"e{i}" for i in range(2000)]
    doubled = {event for event in events if answers_wanted(7, event, 0.1) == 2}
    other = {event for event in events if answers_wanted(8, event, 0.1) == 2}
    assert 140 < len(doubled) < 260
    assert len(doubled & other) < 50
    assert doubled <= {event for event in events if answers_wanted(7, event, 0.2) == 2}
    with pytest.raises(ValueError, match=r"share 1.5 .* labelling.double_label_share"):
        answers_wanted(7, "e1", 1.5)
