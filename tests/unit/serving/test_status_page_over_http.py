"""The status page over a real state database: bounded, read-only, closed to whoever is no guest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, event, insert, text
from sqlalchemy.exc import DBAPIError, OperationalError
from starlette.testclient import TestClient

from data_contracts.alerts import Alert
from data_contracts.errors import ServiceUnavailable
from pipelines import alert_inbox, audit_trail, switches
from pipelines.labelling.appeal_tables import APPEALS
from serving.incidents.tables import ACTIONS, INCIDENTS, NOTIFICATIONS, TIME_LINE
from serving.status_page.application import Application
from serving.status_page.command import LOOPBACK, playbooks_of, sources_of
from serving.status_page.facts import Answering
from serving.status_page.file_facts import answering
from serving.status_page.incident_facts import read_case
from serving.status_page.sign_in import COOKIE, LIFETIME, SignIn
from serving.status_page.state_facts import open_for_reading, read_state
from serving.status_page.static_reports import find
from serving.status_page.watching import Watching
from serving.tokens import Tokens
from tests.stand_ins.status_home import Clock, StatusHome, at_peace, status_home

ROWS = 10_000
MOST_QUERIES, MOST_ROWS = 30, 500  # of one round over the state database
MOST_BYTES = 120_000  # of the page
TOKEN = "a-token-for-tests-only"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[StatusHome]:
    with status_home(tmp_path) as home:
        at_peace(home)
        yield home


class Counted:
    """An engine for reading that counts statements and the rows that the database handed out."""

    def __init__(self, state_url: str) -> None:
        self.queries = self.rows = 0
        self.engine = open_for_reading(state_url)
        event.listen(self.engine, "do_connect", self._count_rows)
        event.listen(self.engine, "before_cursor_execute", self._count_query)

    def _count_query(self, *_: object) -> None:
        self.queries += 1

    def _count_rows(self, _dialect: object, _record: object, _args: object, given: Any) -> None:
        counted = self

        class Cursor(sqlite3.Cursor):
            def fetchall(self) -> list[Any]:
                return [counted._handed_out(row) for row in super().fetchall()]

            def fetchone(self) -> Any:
                row = super().fetchone()
                return None if row is None else counted._handed_out(row)

        class Connection(sqlite3.Connection):
            def cursor(self, *_: Any) -> Any:  # type: ignore[override]
                return super().cursor(Cursor)

        given["factory"] = Connection

    def _handed_out(self, row: Any) -> Any:
        self.rows += 1
        return row


def opened(home: StatusHome, engine: Engine | None = None, sign_in: SignIn | None = None) -> tuple[
    TestClient, Watching
]:  # fmt: skip
    """A client of the page, and what reads for it, which has read nothing yet."""
    ours = engine or open_for_reading(home.settings.state_url)
    watching = Watching(sources_of(home.settings, lambda: ours), Clock(), lambda _: None)
    application = Application(
        home.settings, watching.facts, lambda number: read_case(ours, number),
        lambda: playbooks_of(home.settings), sign_in or SignIn(None, Clock()),
        lambda _: None, hosts=LOOPBACK,
    )  # fmt: skip
    return TestClient(application.app(), base_url="http://127.0.0.1:8604"), watching


# What it shows


def test_a_quiet_platform_is_healthy_on_a_page_without_a_script(home: StatusHome) -> None:
    client, watching = opened(home)
    watching.look()
    shown = client.get("/")
    assert "<h1>healthy</h1>" in shown.text
    for said in ("Version 7", "thresholds t-3f9c", "6,400", "94.1% to 97.8%, n=412", "3 d ago"):
        assert said in shown.text, said
    assert '<meta http-equiv=refresh content="15">' in shown.text
    assert "script" not in shown.text.replace("description", "")
    policy = shown.headers["content-security-policy"]
    assert ("default-src 'none'" in policy, "script-src" in policy) == (True, False)


def test_an_alert_becomes_an_incident_and_its_mitigation_is_not_green(home: StatusHome) -> None:
    client, watching = opened(home)
    home.alert(language="tr")
    home.alert(language="tr")
    (number,) = home.respond()
    watching.look()
    shown = client.get("/").text
    assert "<h1>incident</h1>" in shown
    assert f"incidents acknowledge {number}" in shown
    home.mitigate(number, "prefilter_only", {}, "people are silenced")
    watching.look()
    shown = client.get("/").text
    assert "<h1>mitigated</h1>" in shown
    for said in ("the prefilter decides alone", "people are silenced", "heeded by 0 servers",
                 "switch held: prefilter_only"):  # fmt: skip
        assert said in shown, said
    assert "prefilter_only is held, and no server heeds it" in shown
    home.heed("prefilter_only", 2)
    watching.look()
    shown = client.get("/").text
    assert ("heeded by 2 servers" in shown, "no server heeds" in shown) == (True, False)
    assert "<h1>mitigated</h1>" in shown


def test_one_incident_shows_alerts_once_each_actions_and_what_to_do(home: StatusHome) -> None:
    client, watching = opened(home)
    for _ in range(3):
        home.alert(language="tr")
    home.alert(language="de")
    (number,) = home.respond()
    home.mitigate(number, "threshold_shift", {"log_odds": 0.5}, "people are silenced")
    home.write(f"reports/incidents/{number}/post-mortem.md", b"# What was")
    watching.look()
    shown = client.get(f"/incidents/{number}").text
    assert (shown.count("<h3>WeirFalsePositiveBurn"), "raised 3 times" in shown) == (2, True)
    assert "raised once" in shown
    for said in ("Read ten of the blocked events", f"incidents undo {1}", "loosen_thresholds",
                 f"/reports/incidents/{number}/post-mortem.md"):  # fmt: skip
        assert said in shown, said
    assert client.get("/incidents/99").status_code == 404
    assert client.get(f"/incidents/{2**40}").status_code == 404
    assert client.get("/incidents/x").status_code == 404


def test_who_answers_is_read_from_the_ends_of_records(home: StatusHome) -> None:
    home.answer("canary", "8")
    path = home.settings.home / "decisions" / "stable-1.jsonl"
    record = orjson.loads(path.read_bytes())
    newer = record | {"verdict": record["verdict"] | {"model_version": "9"}}
    copy = newer | {"mirrored": True, "verdict": newer["verdict"] | {"model_version": "10"}}
    lines = [orjson.dumps(one) + b"\n" for one in (*[record] * 2000, newer, copy)]
    path.write_bytes(b"".join(lines) + b'{"format": 2, "verd')
    found = answering(path.parent)
    assert [(one.arm, one.model_version) for one in found] == [("stable", "9"), ("canary", "8")]
    assert isinstance(found[0], Answering)


# What it costs


def test_ten_thousand_rows_of_everything_cost_no_more_than_ten(home: StatusHome) -> None:
    """Counted in statements and rows that leave the database, not in time."""
    few = round_of(home)
    fill(home.engine, ROWS)
    many = round_of(home)
    assert many[0] == few[0] <= MOST_QUERIES
    assert few[1] <= many[1] <= MOST_ROWS, "rows are bounded"
    assert many[2] <= MOST_BYTES, "so is the page"


def round_of(home: StatusHome) -> tuple[int, int, int]:
    """Queries and rows of a round over the state database with a page and an incident after it."""
    counted = Counted(home.settings.state_url)
    client, watching = opened(home, counted.engine)
    watching.look()
    before = counted.queries
    shown = client.get("/")
    assert (shown.status_code, counted.queries) == (200, before), "a page itself asks for nothing"
    assert client.get("/incidents/1").status_code in (200, 404)
    counted.engine.dispose()
    return before, counted.rows, len(shown.content)


def fill(engine: Engine, rows: int) -> None:
    """So many rows in every table that the page looks at."""
    now = Clock()()
    alert = Alert("A", "page", {}, 1.0, None, None, None, now, "", "").as_record()
    times = dict.fromkeys(
        ("opened_at", "entered_at", "firing_since", "last_alert_at", "round_began_at"), now
    )
    head = audit_trail.head(engine)
    last = head.number if head else 0
    incident = {
        "title": "t", "cause": "c", "severity": "critical", "state": "open", "round": 0, "flaps": 0,
        "attention": 0, "acknowledged_by": "", "playbook": "", **times,
    }  # fmt: skip
    appeal = {"event_id": "e", "action": "block", "score": 1.0, "reasons": [], "language": "en",
              "modality": "text", "model_version": "7", "threshold_version": "t", "decided_at": now,
              "statement": "", "origin": "account", "state": "submitted", "submitted_at": now,
              "due_at": now - timedelta(hours=1), "account": "a"}  # fmt: skip
    with engine.begin() as connection:
        for table, made in (
            (INCIDENTS, lambda n: incident),
            (TIME_LINE, lambda n: {"incident_id": 1, "at": now, "who": "w", "what": "x"}),
            (ACTIONS, lambda n: {"incident_id": 1, "round": 0, "step": 0, "parameters": {},
                                 "target": {}, "mitigation": "freeze_training", "state": "done",
                                 "key": f"incident-1-0-{n}", "by": "weir", "undo": "by_hand",
                                 "reason": "", "at": now}),
            (NOTIFICATIONS, lambda n: {"incident_id": 1, "round": n, "level": 0, "person": "p",
                                       "channel": "email", "state": "sent", "attempts": 1,
                                       "at": now, "reason": ""}),
            (switches.HOLDS, lambda n: {"switch": "freeze_training", "key": f"incident-1-0-{n}",
                                        "value": {}, "by": "weir", "reason": "r", "since": now}),
            (alert_inbox.ENTRIES, lambda n: {"fingerprint": f"f{n}", "kind": "raised",
                                             "received_at": now, "alert": alert,
                                             "incident_id": 1 if n % 2 else None}),
            (APPEALS, lambda n: {**appeal, "id": f"a{n}", "revision": n}),
            (audit_trail.ENTRIES, lambda n: {"number": last + 1 + n, "at": now, "who": "w",
                                             "what": "appeal: submitted" if n % 3 else "x",
                                             "subject": "s", "evidence": "", "previous": "",
                                             "hash": ""}),
        ):  # fmt: skip
            connection.execute(insert(table), [made(number) for number in range(rows)])


# What it may not


def test_on_either_database_it_reads_everything_and_cannot_write(
    state_url: str, tmp_path: Path
) -> None:
    with status_home(tmp_path, WEIR__STATE__URL=state_url) as home:
        at_peace(home)
        home.alert(language="tr")
        home.respond()
        home.mitigate(1, "freeze_training", {}, "poisoned labels")
        engine = open_for_reading(state_url)
        state, case = read_state(engine, Clock()()), read_case(engine, 1)
        with pytest.raises(DBAPIError, match=r"read.?only"), engine.begin() as connection:
            connection.execute(text("DELETE FROM incidents"))
        engine.dispose()
    assert state.champion is not None
    assert (state.controller_leads, state.responder_leads, state.missing) == (True, True, ())
    assert [one.switch for one in state.holds] == ["freeze_training"]
    assert case is not None
    assert (case.incident.state, len(case.alerts), len(case.actions)) == ("mitigated", 1, 1)


def test_a_missing_database_is_unknown_and_is_not_made(home: StatusHome, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/none/state.sqlite"
    with pytest.raises(ServiceUnavailable, match="no state database"):
        open_for_reading(url)
    assert not (tmp_path / "none").exists()
    said: list[str] = []
    watching = Watching(sources_of(home.settings, lambda: open_for_reading(url)), Clock(),
                        said.append)  # fmt: skip
    watching.look()
    watching.look()
    facts = watching.facts()
    assert "no state database" in facts.state.problem
    assert (facts.files.problem, len(said)) == ("", 1)


def test_a_source_that_fails_keeps_what_was_read_before_and_its_age(home: StatusHome) -> None:
    answers = iter([1, ServiceUnavailable("down"), 2])

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watching = Watching({"state": ask}, Clock(), lambda _: None)
    watching.look()
    first = watching.facts().state
    watching.look()
    failed = watching.facts().state
    assert (failed.value, failed.at, failed.problem) == (first.value, first.at, "down")
    watching.look()
    assert (watching.facts().state.value, watching.facts().state.problem) == (2, "")


@pytest.mark.parametrize(
    "path",
    [
        "../secrets.env", "monitoring/../../secrets.env", "secrets.env", "monitoring",
        "monitoring/", "monitoring//latest.html", "gates/link/a.html", "gates/a.sh",
        "gates/.a.html", "/etc/passwd", "monitoring/..\\..\\secrets.env", "monitoring/a\x00.html",
        "other/a.html", "%2e%2e/secrets.env", "gates/out.html", "drift/a.html",
    ],
)  # fmt: skip
def test_nothing_but_the_listed_folders_is_served(home: StatusHome, path: str) -> None:
    reports = home.settings.reports
    home.write("secrets.env", b"KEY=1")
    for name in ("gates/a.sh", "gates/.a.html", "other/a.html", "drift/a.html"):
        home.write(f"reports/{name}", b"x")
    outside = home.write("outside/a.html", b"x")
    (reports / "gates" / "link").symlink_to(outside.parent)
    (reports / "gates" / "out.html").symlink_to(outside)
    assert find(reports, path) is None
    client, _ = opened(home)
    answer = client.get(f"/reports/{path}".replace("\x00", "%00"))
    assert (answer.status_code, b"KEY" in answer.content) == (404, False)


def test_a_report_is_served_with_a_policy_that_lets_no_script_in(home: StatusHome) -> None:
    home.write("reports/gates/ab/model_card.html", b"<script>1</script>")
    home.write("reports/incidents/1/post-mortem.md", b"# A\n<!-- weir:begin x 1 -->\n<b>b</b>")
    client, _ = opened(home)
    page = client.get("/reports/gates/ab/model_card.html")
    policy = page.headers["content-security-policy"]
    assert (page.status_code, "default-src 'none'" in policy, "script" in policy) == (
        200, True, False,
    )  # fmt: skip
    drafted = client.get("/reports/incidents/1/post-mortem.md").text
    assert "<h1>A</h1>" in drafted
    assert "&lt;b&gt;" in drafted
    assert "weir:begin" not in drafted


def test_only_reading_and_only_by_a_name_of_its_own(home: StatusHome) -> None:
    client, _ = opened(home)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/").status_code == 405
        assert client.request(method, "/incidents/1").status_code == 405
    assert client.get("/", headers={"host": "elsewhere.example"}).status_code == 400
    assert client.get("/", headers={"host": "localhost:8604"}).status_code == 200
    assert client.get("/health").json() == {"healthy": True}


def test_beyond_loopback_a_token_is_asked_for(home: StatusHome) -> None:
    clock = Clock()
    client, watching = opened(home, sign_in=SignIn(Tokens([TOKEN]), clock))
    watching.look()
    turned_away = client.get("/", follow_redirects=False)
    assert (turned_away.status_code, turned_away.headers["location"]) == (303, "/sign-in")
    for path in ("/incidents/1", "/reports/monitoring/latest.html"):
        assert "Version" not in client.get(path).text
    assert client.get("/health").status_code == 200
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert "Version 7" in client.get("/", headers=bearer).text
    assert client.get("/", headers={"authorization": "Bearer wrong"}).status_code == 401
    refused = client.post("/sign-in", data={"token": "guessed"})
    assert (refused.status_code, COOKIE in client.cookies) == (401, False)
    assert client.post("/sign-in", content=b"token=" + b"x" * 9000).status_code == 413
    kept = client.post("/sign-in", data={"token": TOKEN}, follow_redirects=False)
    assert "HttpOnly" in kept.headers["set-cookie"]
    assert TOKEN not in kept.headers["set-cookie"]
    assert "Version 7" in client.get("/").text
    clock.back = -(LIFETIME + timedelta(minutes=1))
    assert "Version 7" not in client.get("/").text, "a shift later"
    clock.back = timedelta()
    for forged in ("", "x", "9999999999.", "9999999999." + "0" * 64, "é.é"):
        assert not SignIn(Tokens([TOKEN]), clock).may_look(None, forged)


def test_a_database_that_is_down_is_said_on_the_incidents_page(home: StatusHome) -> None:
    def down(_number: int) -> None:
        raise OperationalError("SELECT secret", {}, Exception("it is locked"))

    application = Application(
        home.settings, opened(home)[1].facts, down, lambda: None, SignIn(None, Clock()),
        lambda _: None,
    )  # fmt: skip
    answer = TestClient(application.app()).get("/incidents/1")
    assert (answer.status_code, "it is locked" in answer.text) == (503, True)
    assert "SELECT" not in answer.text


def test_a_page_that_cannot_be_made_is_unknown_and_said(home: StatusHome) -> None:
    said: list[str] = []

    def broken() -> None:
        raise KeyError("a field that was renamed")

    application = Application(
        home.settings, opened(home)[1].facts, lambda _: None, broken, SignIn(None, Clock()),
        said.append,
    )  # fmt: skip
    answer = TestClient(application.app()).get("/")
    assert (answer.status_code, "<h1>Unknown</h1>" in answer.text) == (500, True)
    assert said == ["/ failed: KeyError: 'a field that was renamed'"]
