"""A remedy: which actions it finds, which it takes back, and what a kill at any point changes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy import event as sqlalchemy_event

from data_contracts.errors import BadInput, NothingToDo, ServiceUnavailable
from data_contracts.events import Event
from data_contracts.verdicts import Action, Verdict
from pipelines import audit_trail, lake
from pipelines.golden_cases import read_cases
from pipelines.state import open_state
from serving.appeals.reversals import Reversal
from serving.incidents.enforced_actions import EnforcedActions, Scope
from serving.incidents.remedy import Remedy
from serving.incidents.remedy_command import carry_out
from serving.incidents.remedy_ledger import Champion, RemedyLedger
from tests.appeal_cases import NOW, Home, event, line, verdict

SCOPE = Scope("7", NOW - timedelta(hours=1), NOW + timedelta(hours=1))
HAM = ("wrong-1", "wrong-2", "wrong-3")
FEW = HAM[:2]


@dataclass
class Judge:
    """Allows what says "ham", and counts what it was asked about."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, events: Sequence[Event], /) -> Sequence[Verdict]:
        self.asked += [one.event_id for one in events]
        return [verdict(one.event_id, self.action(one.text), "6") for one in events]

    @staticmethod
    def action(text: str) -> Action:
        return "allow" if "ham" in text else "limit" if "doubtful" in text else "block"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    home = Home(tmp_path, engine)
    fill(home)
    yield home
    engine.dispose()


def fill(home: Home) -> None:
    """What version 7 did in an hour, with everything around it that is not to be touched."""
    fill_few(home)
    earlier, later = NOW - timedelta(hours=2), NOW + timedelta(minutes=5)
    lines = []
    for name, text, about in (
        ("milder", "doubtful", verdict("milder")),
        ("allowed", "ham", verdict("allowed", "allow")),
        ("champions", "ham", verdict("champions", version="6")),
        ("shadowed", "ham", verdict("shadowed", arm="shadow")),
        ("other-thresholds", "ham", verdict("other-thresholds", thresholds="t-2")),
        ("nobodys", "ham", verdict("nobodys")),
    ):
        account = None if name == "nobodys" else name
        lines.append(line(about, event(name, text, account=account)))
    lines.append(line(verdict("mirrored"), event("mirrored", "ham"), mirrored=True))
    lines.append(line(verdict("before"), event("before", "ham"), earlier))
    for name, after in (
        ("lifted", verdict("lifted", "allow", revision=1)),
        ("taken-over", verdict("taken-over", version="6", revision=1)),
        ("stricter", verdict("stricter", "block", revision=1)),
    ):
        about = event(name, "ham", account=name)
        lines += [line(verdict(name, "limit"), about), line(after, about, later)]
    home.record(lines)


def fill_few(home: Home, wrongful: Sequence[str] = HAM) -> None:
    """Wrongful actions and a right one."""
    lines = [line(verdict(one), event(one, f"ham {one}", account=one)) for one in wrongful]
    home.record([*lines, line(verdict("right"), event("right", "spam"))])


def remedy(home: Home, scope: Scope = SCOPE, judge: Judge | None = None) -> Remedy:
    return Remedy(
        EnforcedActions(home.decisions, home.lake, scope),
        RemedyLedger(home.engine, scope, Champion("6", "t-0")),
        judge or Judge(), home.store(), home.reversals(), home.clock,
    )  # fmt: skip


def run(home: Home, *, execute: bool = True, **changes: Any) -> dict[str, Any]:
    return carry_out(remedy(home, **changes), home.folder / "reports", execute=execute)


WRONGFUL = {*HAM, "other-thresholds", "nobodys", "stricter"}


def _undone(home: Home) -> set[str]:
    return {one.event_id for one in home.platform.undone.values()}


def test_a_dry_run_lists_and_touches_nothing(home: Home) -> None:
    said = run(home, execute=False)
    assert said["wrongful"]["count"] == len(WRONGFUL)
    assert (said["confirmed"]["count"], said["milder"]["count"]) == (1, 1)
    assert (said["lifted_since"], said["taken_over_by_another_version"]) == (1, 1)
    assert said["states_of_wrongful"] == {"listed": len(WRONGFUL)}
    assert "--execute" in said["next"]
    assert home.platform.told == []
    assert home.store().in_state("overturned") == []


def test_every_wrongful_action_is_taken_back_and_no_other(home: Home) -> None:
    said = run(home)
    assert _undone(home) == WRONGFUL
    assert len(home.platform.told) == len(WRONGFUL)
    assert said["states_of_wrongful"] == {"reversed": len(WRONGFUL)}
    stricter = next(one for one in home.platform.told if one.event_id == "stricter")
    assert (stricter.revision, stricter.action) == (1, "block"), "the last revision is undone"
    assert audit_trail.verify(home.engine) is None


def test_it_does_the_same_on_every_database(state_url: str, tmp_path: Path) -> None:
    engine = open_state(state_url)
    home = Home(tmp_path, engine)
    fill(home)
    run(home)
    assert run(home)["states_of_wrongful"] == {"reversed": len(WRONGFUL)}
    assert _undone(home) == WRONGFUL
    engine.dispose()


def test_thresholds_can_be_named(home: Home) -> None:
    run(home, scope=replace(SCOPE, threshold_version="t-2"))
    assert _undone(home) == {"other-thresholds"}


def test_what_a_person_decided_is_never_touched(home: Home) -> None:
    home.label({"wrong-1": "spam", "wrong-2": "ham"})
    desk = home.desk()
    _, said = desk.submit(home.token("wrong-3"), {"event_id": "wrong-3", "statement": "x"})
    desk.take(home.reviewer(), said["appeal"])
    desk.decide(home.reviewer(), said["appeal"], {"decision": "uphold", "reason": "spam"})
    found = run(home)
    assert _undone(home) == WRONGFUL - set(HAM)
    assert found["decided_by_a_person"] == 3
    beside = found["champion_beside_people"]
    assert (beside["acts_on_their_spam"]["count"], beside["acts_on_their_spam"]["of"]) == (0, 2)
    assert (beside["allows_their_ham"]["count"], beside["allows_their_ham"]["of"]) == (1, 1)


def test_what_a_person_decides_between_plan_and_action_stands(home: Home) -> None:
    run(home, execute=False)
    home.label({"wrong-1": "spam"})
    said = run(home)
    assert "wrong-1" not in _undone(home)
    assert said["states_of_wrongful"]["decided_meanwhile"] == 1


def test_what_is_lifted_between_plan_and_action_is_left(home: Home) -> None:
    run(home, execute=False)
    again = event("wrong-1", "ham wrong-1", account="wrong-1")
    home.record([line(verdict("wrong-1", "allow", revision=1), again)])
    assert run(home)["states_of_wrongful"]["no_longer_stands"] == 1
    assert "wrong-1" not in _undone(home)


def test_an_open_appeal_is_granted_and_a_held_one_waits_for_its_reviewer(home: Home) -> None:
    desk = home.desk()
    ids = {}
    for name in ("wrong-1", "wrong-2", "wrong-3"):
        _, said = desk.submit(home.token(name), {"event_id": name, "statement": "x"})
        ids[name] = said["appeal"]
    desk.take(home.reviewer(), ids["wrong-2"])
    desk.withdraw(home.token("wrong-3"), ids["wrong-3"])
    found = run(home)
    assert found["states_of_wrongful"] == {"reversed": len(WRONGFUL) - 1, "with_a_reviewer": 1}
    _, told = desk.status(home.token("wrong-1"), ids["wrong-1"])
    assert (told["state"], "newer look" in told["why"]) == ("overturned", True)
    assert "wrong-3" in _undone(home), "taking an appeal back is no wish to stay blocked"
    home.clock.forward(hours=3)
    assert run(home)["states_of_wrongful"] == {"reversed": len(WRONGFUL)}


def test_a_grant_makes_no_label_and_no_golden_case_but_proposes_cases(home: Home) -> None:
    home.land([event(one, f"ham {one}") for one in HAM])
    said = run(home)
    home.desk().effects.carry_out()
    assert lake.days(home.lake, "labels") == []
    assert read_cases(home.lake) == []
    proposals = Path(said["folder"]) / "must_not_block.jsonl"
    cases = [json.loads(one) for one in proposals.read_text().splitlines()]
    assert len(cases) == said["proposed_cases"] > 0
    assert {one["event_id"] for one in cases} <= WRONGFUL
    assert not any("account" in one for one in cases)
    assert proposals.stat().st_mode & 0o077 == 0, "users' words are for their owner only"


def test_the_page_says_it_in_figures_and_without_what_users_wrote(home: Home) -> None:
    said = run(home)
    page = (Path(said["folder"]) / "index.html").read_text()
    assert "6 wrongful actions, 6 of them taken back" in page
    assert "wrong-1" in page
    assert "ham wrong-1" not in page


def test_a_home_whose_records_are_gone_is_judged_from_the_lake(home: Home) -> None:
    events = [event(one, f"ham {one}", account=one) for one in HAM[:2]]
    home.land(events)
    home.ingest()
    for path in home.decisions.glob("*.jsonl"):
        path.unlink()
    said = run(home)
    assert _undone(home) == {"wrong-1", "wrong-2"}
    assert said["judged_without_their_past"] == 2
    assert said["unreadable"] == said["enforced"] - 2, "what nobody has is said, and left alone"


def test_records_and_lake_tell_of_one_action_once(home: Home) -> None:
    home.land([event(one, f"ham {one}", account=one) for one in HAM])
    home.ingest()
    run(home)
    assert len(home.platform.told) == len(WRONGFUL)


def test_an_altered_record_is_not_judged(home: Home) -> None:
    path = next(home.decisions.glob("*.jsonl"))
    path.write_bytes(path.read_bytes().replace(b"ham wrong-1", b"ham wronged"))
    assert run(home)["unreadable"] == 1
    assert "wrong-1" not in _undone(home)


def test_a_second_run_asks_nothing_and_reverses_nothing(home: Home) -> None:
    run(home)
    judge, told = Judge(), len(home.platform.told)
    run(home, judge=judge)
    assert len(home.platform.told) == told
    assert judge.asked == []


def test_a_version_that_enforced_nothing_leaves_nothing_to_do(home: Home) -> None:
    with pytest.raises(NothingToDo, match="enforced nothing"):
        run(home, scope=replace(SCOPE, version="99"))


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(BadInput, match="swap them"):
        Scope("7", NOW, NOW)


def test_a_platform_that_is_down_stops_it_and_the_next_run_goes_on(home: Home) -> None:
    home.platform.down = True
    with pytest.raises(ServiceUnavailable):
        run(home)
    home.platform.down = False
    run(home)
    assert _undone(home) == WRONGFUL


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


@dataclass
class Fuse:
    """Ends the run at the n-th commit or call of the sink; counts them when `left` is large."""

    left: int
    passed: int = 0

    def burn(self) -> None:
        self.passed += 1
        self.left -= 1
        if self.left == 0:
            raise Killed


def _ledger(home: Home) -> list[Any]:
    return list(remedy(home).ledger.actions())


def test_killed_at_any_point_and_begun_again_it_ends_the_same(tmp_path: Path) -> None:
    """At every commit to the database and at every call of the platform, before and after it."""
    whole = _run_with_fuse(tmp_path / "whole", 10_000)
    steps = whole.passed
    assert steps > 3 * len(FEW)
    for left in range(1, steps + 1):
        _run_with_fuse(tmp_path / f"killed-{left}", left, whole.ledger)


@dataclass
class Ended:
    passed: int
    ledger: list[Any]


def _run_with_fuse(folder: Path, left: int, expected: list[Any] | None = None) -> Ended:
    folder.mkdir()
    engine = open_state(f"sqlite:///{folder}/state.sqlite")
    home = Home(folder, engine)
    fill_few(home, FEW)
    remedy(home).ledger.prepare(NOW)  # tables are made before
    fuse = Fuse(left)
    told = home.platform.reverse

    def reverse(reversal: Reversal) -> None:
        fuse.burn()
        told(reversal)
        fuse.burn()

    home.platform.reverse = reverse  # type: ignore[method-assign]

    def commit(_connection: Connection) -> None:
        fuse.burn()

    sqlalchemy_event.listen(engine, "commit", commit)
    with contextlib.suppress(Killed):
        run(home)
    sqlalchemy_event.remove(engine, "commit", commit)
    passed = fuse.passed
    fuse.left = 10_000
    run(home)
    ledger = _ledger(home)
    assert _undone(home) == set(FEW)
    assert len({one.id for one in home.platform.told}) == len(FEW)
    assert home.reversals().intended() == []
    assert audit_trail.verify(engine) is None
    if expected is not None:
        assert ledger == expected
        assert len(home.platform.told) <= len(FEW) + 1, "at most the one it was killed in"
    engine.dispose()
    return Ended(passed, ledger)
