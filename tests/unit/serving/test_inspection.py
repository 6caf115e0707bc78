"""One event's way through the cascade is shown whole, and what its user wrote only on request."""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest

from data_contracts.config import Settings, load_settings
from data_contracts.errors import BadInput
from data_contracts.events import Event, parse_event
from data_contracts.verdicts import Budget, Stage, Verdict
from pipelines import lake
from serving import inspection
from serving.cascade import Cascade
from serving.decision_records import UnwrittenRecord
from serving.event_trace import trace
from serving.inspection_page import as_page
from serving.inspection_table import as_text
from tests.stand_ins.capital_letters import CapitalLetters

SECRET = "my secret words"
DAY, NAME = "2026-01-05", "post-<17>"
EVENT = parse_event({
    "event_id": NAME, "text": f"{SECRET}\n\x1b[31m<script>", "time": f"{DAY}T11:59:00Z",
    "account": "0f" * 32, "media": [{"kind": "image", "sha256": "a" * 64, "path": "a.png"}],
    "context": {"subject": SECRET, "behaviour.posts": 12.0, "surroundings.copies": None},
})  # fmt: skip
FIRST = Verdict(
    NAME, 0.25, "limit", ("wording_of_spam",),
    (Stage("prefilter", True, 0.5), Stage("ocr", False, None, "deadline")), "7", "t1",
)  # fmt: skip
SECOND = replace(
    FIRST, score=0.75, action="block", revision=1,
    stages=(Stage("prefilter", True, 0.5), Stage("ocr", True, 0.875)),
)  # fmt: skip
COSTS = {"ocr": 110.0}


def record(verdict: Verdict, second: int, *, mirrored: bool = False) -> UnwrittenRecord:
    return UnwrittenRecord(
        verdict, EVENT, datetime.fromisoformat(f"{DAY}T12:00:{second:02d}+00:00"), mirrored, 41.5,
        "ensemble-1", Budget(80.0, withheld=(("video", "breaker open"),)),
    )  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"WEIR_HOME": str(tmp_path / "home")})


def store(settings: Settings, *records: UnwrittenRecord | bytes) -> None:
    folder = settings.home / "decisions"
    folder.mkdir(parents=True, exist_ok=True)
    lines = (one if isinstance(one, bytes) else one.line() for one in records)
    (folder / "stable-1.jsonl").write_bytes(b"".join(lines))


def land(settings: Settings, verdict: Verdict, event: Event | None = None) -> None:
    """A verdict in the lake, as ingestion writes it, and its event."""
    row: dict[str, Any] = verdict.as_record() | {
        "reasons": list(verdict.reasons), "mirrored": False,
        "stages": orjson.dumps(verdict.as_record()["stages"]).decode(),
        "decided_at": datetime(2026, 1, 5, 12, tzinfo=UTC),
    }  # fmt: skip
    lake.write(settings.lake, "verdicts", DAY, lake.rows("verdicts", [row]))
    if event is not None:
        stored = {
            "event_id": event.event_id, "text": event.text, "occurred_at": event.occurred_at,
            "account_hash": event.account, "language": None, "context": "{}", "source": "gateway",
            "media": orjson.dumps([one.model_dump() for one in event.media]).decode(),
        }  # fmt: skip
        lake.write(settings.lake, "events", DAY, lake.rows("events", [stored]))


def arguments(event_id: str = NAME, **given: object) -> argparse.Namespace:
    plain = {"model": None, "show_text": False, "html": None, "result": None}
    return argparse.Namespace(event_id=event_id, **{**plain, **given})


def test_the_table_shows_every_stage_with_score_cost_and_why_it_was_skipped(
    settings: Settings,
) -> None:
    store(settings, record(FIRST, 1))
    text = as_text(trace(NAME, settings), COSTS)
    assert text.splitlines()[0] == "post-<17>: limit at 0.250000 stands (revision 0; 1 verdict)"
    rows = [line.split() for line in text.splitlines()]
    assert ["prefilter", "ran", "0.500000"] in rows
    assert ["ocr", "skipped", "110", "ms", "deadline"] in rows
    for said in (
        "revision 0, stable: decided 2026-01-05 12:00:01 UTC, in 41.5 ms",
        "budget      80 ms; video withheld (breaker open)",
        "model       7 (artefact ensemble-1)", "thresholds  t1", "reasons     wording_of_spam",
        "features  1 of behaviour, 1 of surroundings, 1 of context",
        f"stored in   {settings.home / 'decisions' / 'stable-1.jsonl'}:1",
    ):  # fmt: skip
        assert said in text


def test_the_highest_revision_stands_and_a_copy_never_does(settings: Settings) -> None:
    shadow = replace(SECOND, arm="shadow", revision=2)
    store(settings, record(SECOND, 3), record(FIRST, 1), record(shadow, 4, mirrored=True))
    found = trace(NAME, settings)
    assert [one.verdict for one in found.passages] == [FIRST, SECOND, shadow]
    assert found.standing is not None
    assert found.standing.verdict == SECOND
    assert "shadow, a copy without effect" in as_text(found, COSTS)


def test_events_whose_ids_or_texts_mention_the_id_are_left_out(settings: Settings) -> None:
    other = replace(FIRST, event_id="other")
    mentions = EVENT.model_copy(update={"event_id": "other", "text": f'see "{NAME}"'})
    store(settings, record(other, 1)._replace(event=mentions), record(FIRST, 2), b'"post-<17>"\n')
    assert [one.verdict.event_id for one in trace(NAME, settings).passages] == [NAME]


def test_what_the_user_wrote_is_shown_only_on_request_and_cannot_steer_the_terminal(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store(settings, record(FIRST, 1))
    page, result = tmp_path / "page.html", tmp_path / "result.json"
    found = inspection.run(arguments(html=page, result=result), settings)
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err + page.read_text() + orjson.dumps(found).decode()
    assert f"text      {len(EVENT.text)} characters, sha256 " in shown.out
    assert inspection.run(arguments(show_text=True, html=page), settings) is None
    shown = capsys.readouterr()
    assert SECRET in shown.out
    assert "\x1b" not in shown.out
    assert "&lt;script&gt;" in page.read_text()


def test_an_altered_record_is_pointed_out(settings: Settings) -> None:
    store(settings, record(FIRST, 1).line().replace(b'"behaviour.posts":12.0', b'"x":1.0'))
    assert "ALTERED since" in as_text(trace(NAME, settings), COSTS)


def test_the_lake_tells_of_verdicts_whose_records_are_gone(settings: Settings) -> None:
    land(settings, FIRST, EVENT)
    found = trace(NAME, settings)
    assert [one.verdict for one in found.passages] == [FIRST]
    text = as_text(found, COSTS)
    assert f"stored in   lake, verdicts/day={DAY}" in text
    assert "budget      not recorded" in text
    assert found.event is not None
    assert found.event.media == (("image", "a" * 64),)


def test_a_verdict_that_is_in_the_lake_and_in_a_record_is_shown_once(settings: Settings) -> None:
    land(settings, FIRST)
    store(settings, record(FIRST, 1), record(SECOND, 2))
    found = trace(NAME, settings)
    assert [one.verdict.revision for one in found.passages] == [0, 1]
    assert all(one.budget is not None for one in found.passages)


def test_an_unknown_event_says_where_it_was_looked_for_and_what_to_do(settings: Settings) -> None:
    store(settings, record(FIRST, 1))
    land(settings, FIRST)
    with pytest.raises(BadInput) as raised:
        trace("absent", settings)
    said = str(raised.value)
    assert "no verdict about event 'absent': looked in 1 files of" in said
    assert "1 days of" in said
    assert "point WEIR_HOME at" in said


def test_a_page_that_cannot_be_written_is_bad_input(settings: Settings, tmp_path: Path) -> None:
    store(settings, record(FIRST, 1))
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=r"--html .*give a file that can be written"):
        inspection.run(arguments(html=tmp_path / "file" / "page.html"), settings)


def test_thresholds_of_a_model_that_decided_nothing_here_are_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(settings, record(FIRST, 1))
    other = Cascade(CapitalLetters(), "7", "t2")
    monkeypatch.setattr("serving.artefact.load_cascade", lambda *_: other)
    with pytest.raises(BadInput, match="has t2, the verdicts were decided by t1"):
        inspection.run(arguments(model="m"), settings)


def test_table_and_page_hold_the_values_of_thresholds(settings: Settings) -> None:
    store(settings, record(FIRST, 1))
    levels = {"thresholds of text": {"all": (0.5, 0.625, 0.75, 0.875)}}
    row = ["all", "0.500000", "0.625000", "0.750000", "0.875000"]
    found = trace(NAME, settings)
    assert row in [line.split() for line in as_text(found, COSTS, levels).splitlines()]
    assert "".join(f"<td>{cell}" for cell in row) in as_page(found, COSTS, levels)


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_it_shows(
    settings: Settings,
) -> None:
    store(settings, record(FIRST, 1), record(SECOND, 2))
    page = as_page(trace(NAME, settings, with_text=True), COSTS)
    seen = Seen()
    seen.feed(page)
    assert "script" not in seen.tags
    assert not seen.attributes & {"src", "href"}
    assert seen.headings == [
        "post-<17>", "The event",
        "revision 1, stable: decided 2026-01-05 12:00:02 UTC, in 41.5 ms",
        "revision 0, stable: decided 2026-01-05 12:00:01 UTC, in 41.5 ms",
    ]  # fmt: skip
    assert page.count("class=skipped") == 1
    assert "width:87.5%" in page


class Seen(HTMLParser):
    """Tags, names of attributes, and what the headings say."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.headings: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self._inside = tag in ("h1", "h2")

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.headings.append(data)
            self._inside = False
