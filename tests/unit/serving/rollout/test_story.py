"""A rollout as people see it: the terminal, the page, and both from the same story."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import Connection, Engine

from data_contracts.config import RolloutStep
from pipelines.state import open_state
from serving.rollout.analysis import Analysis, Measurement
from serving.rollout.leadership import Leadership
from serving.rollout.live_view import follow, picture
from serving.rollout.page import page, write_page
from serving.rollout.phases import Stable, Transition
from serving.rollout.picture import metrics
from serving.rollout.store import RolloutStore
from serving.rollout.story import Story, tell
from serving.rollout.targets.base import Counters, Deployment

OLD, NEW = Deployment("models:/spam/1", "1"), Deployment("models:/spam/2", "2")
STEPS = (
    RolloutStep(phase="shadow", weight=0, minimum_seconds=1, minimum_requests=5),
    RolloutStep(phase="canary", weight=10, minimum_seconds=1, minimum_requests=5),
)
WORSE = "error rate 9% <script>"


def free(_connection: Connection) -> None:
    """Nobody else leads."""


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=10)
        return self.now


def said(verdict: str, requests: int, high: float | None) -> Analysis:
    errors = Measurement("errors", verdict, WORSE, 0.09, 0.01, 0.08, 0.02, high, 0.01, 0.05)  # type: ignore[arg-type]
    recall = Measurement("recall[language=tr]", "not_enough_evidence", "no labels", None, None,
                         None, None, None, 0.0, 0.03)  # fmt: skip
    return Analysis(verdict, WORSE, requests, 3, (errors, recall))  # type: ignore[arg-type]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    Leadership(opened).prepare()
    yield opened
    opened.dispose()


@pytest.fixture
def store(engine: Engine) -> RolloutStore:
    made = RolloutStore(engine, Clock())
    made.prepare()
    made.set_stable(Stable("a", OLD), free)
    return made


def in_canary(engine: Engine, store: RolloutStore) -> Story:
    """Two looks in shadow, one in canary."""
    rollout = store.start(NEW, STEPS, ("a", "b", "c"))
    rollout = store.advance(rollout, Transition("shadow", 0, "ready"), None, free)
    rollout = store.applied(rollout, Counters(0, 0), free)
    store.measured(rollout, said("not_enough_evidence", 20, None), free)
    store.measured(rollout, said("pass", 40, 0.04), free)
    passed = said("pass", 40, 0.04)
    rollout = store.advance(rollout, Transition("canary", 1, "passed"), passed, free)
    rollout = store.applied(rollout, Counters(0, 0), free)
    store.measured(rollout, said("fail", 60, 0.12), free)
    return told(engine, store)


def told(engine: Engine, store: RolloutStore) -> Story:
    story = tell(engine, store)
    assert story is not None
    return story


def rolled_back(engine: Engine, store: RolloutStore) -> Story:
    rollout = in_canary(engine, store).rollout
    back = Transition("rolling_back", 1, WORSE)
    rollout = store.advance(rollout, back, said("fail", 60, 0.12), free)
    store.advance(rollout, Transition("rolled_back", 1, ""), None, free)
    return told(engine, store)


def shown(story: Story, width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(picture(story))
    return console.export_text()


def test_without_a_rollout_there_is_no_story(engine: Engine, store: RolloutStore) -> None:
    assert tell(engine, store) is None


def test_the_story_has_every_phase_in_order_and_the_one_under_way(
    engine: Engine, store: RolloutStore
) -> None:
    story = in_canary(engine, store)
    names = [(span.name, span.weight, span.mirror, span.verdict) for span in story.spans]
    assert names == [
        ("pending", 0, False, "not_judged"),
        ("shadow", 0, True, "pass"),
        ("canary 10 %", 10, False, ""),
    ]
    assert all(
        earlier.end == later.start
        for earlier, later in zip(story.spans, story.spans[1:], strict=False)
    )
    assert story.shares == {"stable": 80, "baseline": 10, "canary": 10}
    assert story.headline == "Version 2 beside version 1: canary 10 %"


def test_the_terminal_shows_who_answers_what_was_measured_and_what_can_be_done(
    engine: Engine, store: RolloutStore
) -> None:
    text = shown(in_canary(engine, store))
    for words in (
        "canary 10 %", "no controller is running", "0.08 [0.02, 0.12]", "recall[language=tr]",
        "not measured", "fail", "rollout ACTION",
    ):  # fmt: skip
        assert words in text


def test_the_terminal_says_why_it_ended(engine: Engine, store: RolloutStore) -> None:
    text = shown(rolled_back(engine, store))
    assert "rolled back" in text
    assert WORSE in text
    assert "rollout ACTION" not in text


def test_following_ends_with_the_rollout(engine: Engine, store: RolloutStore) -> None:
    stories: list[Story | None] = [None, in_canary(engine, store)]
    ended = rolled_back_from(stories[1], engine, store)
    console = Console(width=120, file=io.StringIO())
    looks = iter([*stories, ended])
    assert follow(lambda: next(looks), 0.0, console) is ended


def rolled_back_from(story: Story | None, engine: Engine, store: RolloutStore) -> Story:
    assert story is not None
    return replace(story, rollout=replace(story.rollout, phase="rolled_back", reason=WORSE))


def test_the_page_tells_every_decision_and_escapes_what_it_quotes(
    engine: Engine, store: RolloutStore
) -> None:
    html = page(rolled_back(engine, store))
    assert "<script" not in html
    assert "error rate 9% &lt;script&gt;" in html
    for words in ("shadow", "canary 10 %", "rolling_back", "recall[language=tr]", "no labels"):
        assert words in html
    assert html.count("<svg") == 2
    assert "canary 10 % → rolling_back" in html


def test_what_was_never_measured_gets_no_panel(engine: Engine, store: RolloutStore) -> None:
    assert metrics(in_canary(engine, store)) == ("errors",)


def test_the_same_story_gives_the_same_page(
    engine: Engine, store: RolloutStore, tmp_path: Path
) -> None:
    story = rolled_back(engine, store)
    first = write_page(story, tmp_path).read_bytes()
    assert write_page(story, tmp_path).read_bytes() == first
