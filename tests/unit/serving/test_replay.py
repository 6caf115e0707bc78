"""Replay decides from inputs and budget decisions alone, and a difference is data."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from data_contracts.config import load_settings
from data_contracts.errors import MissingPart, NothingToDo
from data_contracts.events import Event, parse_event
from data_contracts.verdicts import UNBOUNDED, Assessment, Budget, Stage, Verdict
from serving import replay as replaying
from serving.cascade import Cascade
from serving.decision_records import StoredRecord, UnwrittenRecord, lines_of
from serving.replay import Tally, Versions, replay, replay_all
from tests.stand_ins.capital_letters import CapitalLetters

MODEL = CapitalLetters()
VERSIONS = Versions(MODEL.version, "7", "thresholds-1")
AT = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Thrifty(CapitalLetters):
    """A stage of 10 ms that is skipped where the budget is less, or where it is withheld."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def assess(
        self,
        events: Sequence[Event],
        *,
        every_stage: bool = False,
        budget_milliseconds: float = 10.0,
        withheld: Mapping[str, str] | None = None,
    ) -> list[Assessment]:
        self.batches.append(len(events))
        why = (withheld or {}).get("dear") or ("deadline" if budget_milliseconds < 10 else None)
        extra = Stage("dear", why is None, 0.9 if every_stage else None, why)
        assessed = super().assess(events)
        return [replace(one, stages=(*one.stages, extra)) for one in assessed]


def record(
    name: str = "e1",
    text: str = "Hello YOU",
    budget: Budget = UNBOUNDED,
    model: CapitalLetters = MODEL,
) -> UnwrittenRecord:
    event = parse_event({"event_id": name, "text": text})
    (assessment,) = model.assess([event], **budget.as_arguments())
    verdict = Verdict.of(name, assessment, model_version="7", threshold_version="thresholds-1")
    return UnwrittenRecord(verdict, event, AT, False, 0.1, MODEL.version, budget)


def lines(folder: Path, *records: UnwrittenRecord | bytes) -> Path:
    path = folder / "a.jsonl"
    path.write_bytes(b"".join(r if isinstance(r, bytes) else r.line() for r in records))
    return path


def tally(folder: Path, *records: UnwrittenRecord | bytes, model: object = MODEL) -> Tally:
    return replay_all(lines_of(lines(folder, *records)), model, VERSIONS)  # type: ignore[arg-type]


def test_a_verdict_is_recomputed_to_the_same_bytes(tmp_path: Path) -> None:
    texts = ("Hello YOU", "SHOUT", "", "ÄÖÜ ünïcode 中文", "a" * 60_000)
    path = lines(tmp_path, *(record(f"e{at}", text) for at, text in enumerate(texts)))
    stored = [one for one in lines_of(path) if isinstance(one, StoredRecord)]
    again = replay([one.record for one in stored], MODEL)
    assert [orjson.dumps(one) for one in again] == [one.verdict for one in stored]
    found = replay_all(stored, MODEL, VERSIONS)
    assert (found.replayed, found.equal, found.different) == (5, 5, [])


def test_the_stored_score_is_not_used(tmp_path: Path) -> None:
    honest = record()
    forged = honest._replace(verdict=replace(honest.verdict, score=0.999, action="block"))
    found = tally(tmp_path, honest, forged)
    assert (found.replayed, found.equal, found.differing) == (2, 1, 1)
    assert found.different[0].where.endswith("a.jsonl:2")
    assert found.different[0].fields == {
        "score": "stored 0.999, now 0.444444", "action": 'stored "block", now "allow"',
    }  # fmt: skip


def test_budget_decisions_are_taken_again_and_events_under_one_budget_go_together(
    tmp_path: Path,
) -> None:
    model = Thrifty()
    budgets = (
        UNBOUNDED, Budget(milliseconds=5.0), Budget(every_stage=True, every_stage_chance=0.01),
        Budget(withheld=(("dear", "breaker open"),)), UNBOUNDED, Budget(milliseconds=5.0),
    )  # fmt: skip
    kept = [record(f"e{n}", "Hi", one, model=Thrifty()) for n, one in enumerate(budgets)]
    skipped = [one.verdict.stages[-1].skipped_because for one in kept]
    assert skipped == [None, "deadline", None, "breaker open", None, "deadline"]
    found = tally(tmp_path, *kept, model=model)
    assert (found.replayed, found.equal) == (6, 6)
    assert sorted(model.batches) == [1, 1, 2, 2]


def test_another_budget_than_the_recorded_one_would_be_seen(tmp_path: Path) -> None:
    kept = record(budget=Budget(milliseconds=5.0), model=Thrifty())._replace(budget=UNBOUNDED)
    found = tally(tmp_path, kept, model=Thrifty())
    assert found.different[0].fields == {
        "stages.dear.ran": "stored false, now true",
        "stages.dear.skipped_because": 'stored "deadline", now null',
    }


def test_revision_arm_and_the_registrys_number_are_taken_from_the_record(tmp_path: Path) -> None:
    plain = record()
    later = replace(plain.verdict, revision=3, arm="canary", model_version="champion-9")
    found = tally(tmp_path, plain._replace(verdict=later))
    assert (found.replayed, found.equal) == (1, 1)


def test_records_of_another_version_are_skipped_and_counted(tmp_path: Path) -> None:
    plain = record()
    of_format_1 = orjson.loads(plain.line())
    for name in ("format", "artefact", "event_sha256"):
        del of_format_1[name]
    other_number = orjson.loads(orjson.dumps(of_format_1))
    other_number["verdict"]["model_version"] = "8"
    found = tally(
        tmp_path,
        plain._replace(artefact="capitals-2"),
        plain._replace(verdict=replace(plain.verdict, threshold_version="thresholds-2")),
        orjson.dumps(of_format_1) + b"\n",
        orjson.dumps(other_number) + b"\n",
    )
    assert (found.skipped_other_version, found.replayed, found.equal) == (3, 1, 1)


def test_an_altered_event_is_a_difference_even_where_the_verdict_stays(tmp_path: Path) -> None:
    line = record(text="Hello YOU").line()
    found = tally(tmp_path, line.replace(b"Hello YOU", b"Jello YOU"))
    assert (found.replayed, found.equal) == (1, 0)
    assert found.different[0].fields == {
        "event": "its sha256 is not the recorded one: the record was altered"
    }


def test_torn_lines_and_events_outside_the_contract_are_counted_and_passed_over(
    tmp_path: Path,
) -> None:
    whole = record().line()
    outside = whole.replace(b'"text":"Hello YOU"', b'"text":7')
    found = tally(tmp_path, whole, outside, whole[:40] + b"\n", whole)
    assert (found.unreadable, found.replayed, found.equal) == (2, 2, 2)


def test_the_first_twenty_differences_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    wrong = [one._replace(verdict=replace(one.verdict, score=0.5)) for one in
             (record(f"e{number}") for number in range(300))]  # fmt: skip
    found = tally(tmp_path, *wrong)
    assert (found.differing, len(found.different)) == (300, 20)
    assert [one.event_id for one in found.different] == [f"e{number}" for number in range(20)]


def test_the_verb_returns_counts_and_shows_what_differs_without_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("serving.artefact.load_cascade", lambda *_: cascade())
    plain = record(text="my secret words")
    wrong = plain._replace(verdict=replace(plain.verdict, score=0.5))
    lines(tmp_path, plain, wrong, plain._replace(artefact="other"))
    result = replaying.run(arguments(tmp_path), load_settings({"WEIR_HOME": str(tmp_path)}))
    kept = ("replayed", "equal", "differing", "skipped_other_version", "unreadable")
    assert [result[name] for name in kept] == [2, 1, 1, 1, 0]
    assert result["different"][0]["event_id"] == "e1"
    said = capsys.readouterr().err
    assert "score: stored 0.5, now 0.0" in said
    assert "1 of 2 verdicts are equal to the byte" in said
    assert "secret" not in said + orjson.dumps(result).decode()


def test_no_records_are_nothing_to_do_and_a_wrong_path_is_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.artefact.load_cascade", lambda *_: cascade())
    settings = load_settings({**os.environ, "WEIR_HOME": str(tmp_path)})
    with pytest.raises(NothingToDo, match="no decision records in"):
        replaying.run(arguments(tmp_path), settings)
    with pytest.raises(MissingPart, match="neither file nor folder"):
        replaying.run(arguments(tmp_path / "absent"), settings)


def cascade() -> Cascade:
    return Cascade(MODEL, "7", "thresholds-1")


def arguments(*records: Path) -> argparse.Namespace:
    return argparse.Namespace(records=list(records), model="m")
