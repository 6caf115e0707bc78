"""The API from submission to overturn to label, and every way in which it says no."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from starlette.testclient import TestClient

from pipelines import audit_trail, lake
from pipelines.golden_cases import read_cases
from pipelines.state import open_state
from serving.appeals.application import Application
from serving.appeals.command import alerts_of
from serving.appeals.proof import ACCOUNT, REVIEWER, signed
from tests.appeal_cases import DAY, KEY, NOW, Home, event, line, verdict

PRIVATE = "my mother is ill, please"
TEXT = "see you at the meeting on friday"
BODY_BYTES = 1000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    home = Home(tmp_path, engine)
    mine = event("e1", TEXT)
    home.record([line(verdict("e1"), mine), line(verdict("e2", "allow"), event("e2", "hello"))])
    home.land([mine])
    yield home
    engine.dispose()


@pytest.fixture
def client(home: Home) -> TestClient:
    return TestClient(Application(home.desk(), BODY_BYTES, home.said.append).app())


def _post(client: TestClient, path: str, token: str, **body: Any) -> Response:
    return client.post(path, json=body, headers={"Authorization": f"Bearer {token}"})


def _get(client: TestClient, path: str, token: str) -> Response:
    return client.get(path, headers={"Authorization": f"Bearer {token}"})


def _submitted(client: TestClient, home: Home) -> str:
    answer = _post(client, "/appeals", home.token(), event_id="e1", statement=PRIVATE)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["appeal"])


def _decided(client: TestClient, home: Home, decision: str) -> dict[str, Any]:
    appeal = _submitted(client, home)
    assert _post(client, f"/appeals/{appeal}/take", home.reviewer()).status_code == 200
    answer = _post(client, f"/appeals/{appeal}/decide", home.reviewer(), decision=decision,
                   reason="an ordinary message")  # fmt: skip
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def test_an_appeal_goes_from_submission_to_overturn_to_label_case_and_reversal(
    home: Home, client: TestClient
) -> None:
    said = _decided(client, home, "overturn")
    assert said["state"] == "overturned"
    assert said["effects"]["reversal"] == "reversed"
    assert [(one.event_id, one.action) for one in home.platform.told] == [("e1", "block")]
    (label,) = lake.read(home.lake, "labels", [DAY]).to_pylist()
    assert (label["event_id"], label["label"], label["source"]) == ("e1", "ham", "appeal")
    assert label["inclusion_probability"] is None
    (case,) = read_cases(home.lake)
    assert (case.kind, case.event.text, case.event.account) == ("must_not_block", TEXT, None)
    assert (case.provenance.source, case.provenance.reference) == ("appeal", said["appeal"])
    told = _get(client, f"/appeals/{said['appeal']}/status", home.token()).json()
    assert (told["state"], told["why"]) == ("overturned", "an ordinary message")
    assert "reviewer" not in told
    assert audit_trail.verify(home.engine) is None
    what = [one.what for one in audit_trail.entries(home.engine)]
    assert "appeal: submitted → under_review" in what
    assert "appeal: under_review → overturned" in what
    assert "reversed block of revision 0" in what


def test_an_upheld_appeal_becomes_a_label_of_spam_and_reverses_nothing(
    home: Home, client: TestClient
) -> None:
    said = _decided(client, home, "uphold")
    assert said["effects"] == {"label": f"spam on {DAY}"}
    assert home.platform.told == []
    assert lake.read(home.lake, "labels", [DAY])["label"].to_pylist() == ["spam"]
    assert read_cases(home.lake) == []


def test_what_users_write_is_in_no_log_no_trail_and_no_answer_to_the_account(
    home: Home, client: TestClient
) -> None:
    said = _decided(client, home, "overturn")
    wrong = _post(client, "/appeals", home.token(), event_id="e1", statement=PRIVATE * 40)
    assert wrong.status_code == 400
    assert "characters" in wrong.json()["error"]
    seen = [wrong.text, *home.said, str(said)]
    seen += [f"{one.what} {one.subject} {one.evidence}" for one in audit_trail.entries(home.engine)]
    assert not any("mother" in one for one in seen)
    read = _get(client, f"/appeals/{said['appeal']}", home.reviewer()).json()
    assert (read["statement"], read["text"]) == (PRIVATE, TEXT)  # the reviewer alone


def test_submitting_again_changes_nothing(home: Home, client: TestClient) -> None:
    first = _submitted(client, home)
    again = _post(client, "/appeals", home.token(), event_id="e1", statement="something else")
    assert (again.status_code, again.json()["appeal"]) == (200, first)
    assert len(home.store().in_state("submitted")) == 1


def test_deciding_again_changes_nothing_and_otherwise_is_refused(
    home: Home, client: TestClient
) -> None:
    said = _decided(client, home, "overturn")
    path = f"/appeals/{said['appeal']}/decide"
    again = _post(client, path, home.reviewer(), decision="overturn", reason="again")
    assert (again.status_code, again.json()["why"]) == (200, "an ordinary message")
    other = _post(client, path, home.reviewer(), decision="uphold", reason="no")
    assert (other.status_code, other.json()["error"]) == (
        409, f"appeal {said['appeal']} is overturned; nothing is left to do",
    )  # fmt: skip
    assert len(home.platform.told) == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"event_id": "e1"}, "statement = None: is no text"),
        ({"event_id": 3, "statement": "x"}, "event_id = 'int': is no text"),
        ({"event_id": "e1", "statement": "x", "admin": 1}, "admin = '…': is not a field"),
        ({"event_id": " ", "statement": "x"}, "event_id = '0 characters': has the wrong length"),
    ],
)
def test_a_bad_field_is_named_with_its_value_and_a_remedy(
    home: Home, client: TestClient, body: dict[str, Any], named: str
) -> None:
    answer = _post(client, "/appeals", home.token(), **body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(named)
    assert "give" in answer.json()["error"]


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"", b'"x"', b"null"])
def test_a_body_that_is_no_object_is_refused(
    home: Home, client: TestClient, content: bytes
) -> None:
    headers = {"Authorization": f"Bearer {home.token()}"}
    assert client.post("/appeals", content=content, headers=headers).status_code == 400


def test_a_large_body_is_refused_before_it_is_read(home: Home, client: TestClient) -> None:
    headers = {"Authorization": f"Bearer {home.token()}"}
    answer = client.post("/appeals", content=b"x" * (BODY_BYTES + 1), headers=headers)
    assert answer.status_code == 413


def test_only_who_proves_it_may_ask(home: Home, client: TestClient) -> None:
    hour = timedelta(hours=1)
    bad = [
        "", "nonsense", home.reviewer(), signed("x" * 32, "ada", ACCOUNT, NOW + hour),
        signed(KEY, "ada", ACCOUNT, NOW - hour), signed(KEY, "ada", ACCOUNT, NOW + 48 * hour),
        signed(KEY, "ada", REVIEWER, NOW + hour),
    ]  # fmt: skip
    for token in bad:
        answer = _post(client, "/appeals", token, event_id="e1", statement="x")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/appeals", "/success", "/appeals/x"):
        assert _get(client, path, home.token()).status_code == 401, "an account is no reviewer"


def test_somebody_elses_event_and_appeal_are_not_known(home: Home, client: TestClient) -> None:
    appeal = _submitted(client, home)
    other = home.token("bob")
    for answer in (
        _post(client, "/appeals", other, event_id="e1", statement="x"),
        _post(client, "/appeals", other, event_id="e9", statement="x"),
        _get(client, f"/appeals/{appeal}/status", other),
        _post(client, f"/appeals/{appeal}/withdraw", other),
    ):
        assert answer.status_code == 404


def test_what_was_allowed_or_decided_long_ago_cannot_be_appealed(
    home: Home, client: TestClient
) -> None:
    allowed = _post(client, "/appeals", home.token(), event_id="e2", statement="x")
    assert (allowed.status_code, "nothing was enforced" in allowed.text) == (409, True)
    home.clock.forward(days=184)
    late = _post(client, "/appeals", home.token(), event_id="e1", statement="x")
    assert (late.status_code, "more than 183 days ago" in late.text) == (409, True)


def test_an_account_appeals_a_few_times_a_day_and_no_more(home: Home, client: TestClient) -> None:
    home.record([line(verdict(f"r{n}"), event(f"r{n}", f"text {n}")) for n in range(4)])
    answers = [
        _post(client, "/appeals", home.token(), event_id=f"r{n}", statement="x") for n in range(4)
    ]
    assert [one.status_code for one in answers] == [201, 201, 201, 429]
    assert int(answers[-1].headers["retry-after"]) == 24 * 3600
    home.clock.forward(days=1, seconds=1)
    later = _post(client, "/appeals", home.token(), event_id="r3", statement="x")
    assert later.status_code == 201


def test_an_account_that_asks_all_the_time_has_to_wait(home: Home, client: TestClient) -> None:
    answers = [_get(client, "/appeals/none/status", home.token()) for _ in range(31)]
    assert [one.status_code for one in answers[:30]] == [404] * 30
    assert (answers[30].status_code, answers[30].headers["retry-after"]) == (429, "60")


def test_one_reviewer_holds_an_appeal_until_the_lease_ends(home: Home, client: TestClient) -> None:
    appeal = _submitted(client, home)
    take, decide = f"/appeals/{appeal}/take", f"/appeals/{appeal}/decide"
    early = _post(client, decide, home.reviewer(), decision="uphold", reason="x")
    assert (early.status_code, "take it first" in early.text) == (409, True)
    assert _post(client, take, home.reviewer("rae")).status_code == 200
    assert _post(client, take, home.reviewer("sol")).status_code == 409
    home.clock.forward(hours=2, seconds=1)
    late = _post(client, decide, home.reviewer("rae"), decision="uphold", reason="x")
    assert (late.status_code, "take it again" in late.text) == (409, True)
    assert _post(client, take, home.reviewer("sol")).json()["reviewer"] == "sol"


def test_reviewers_see_what_is_due_first_and_what_is_overdue(
    home: Home, client: TestClient
) -> None:
    home.record([line(verdict("r1"), event("r1", "another"))])
    first = _submitted(client, home)
    home.clock.forward(hours=1)
    _post(client, "/appeals", home.token(), event_id="r1", statement="x")
    home.clock.forward(hours=71, minutes=30)
    listed = _get(client, "/appeals?state=submitted&limit=10", home.reviewer()).json()
    assert [one["overdue"] for one in listed["appeals"]] == [True, False]
    assert (listed["appeals"][0]["appeal"], listed["overdue"]) == (first, 1)
    (alert,) = alerts_of(home.desk(), home.clock())
    assert (alert.name, alert.value) == ("AppealsOverdue", 1.0)
    for query in ("state=x", "limit=0", "limit=x", "limit=501"):
        assert _get(client, f"/appeals?{query}", home.reviewer()).status_code == 400


def test_an_account_takes_its_appeal_back_before_it_is_decided(
    home: Home, client: TestClient
) -> None:
    appeal = _submitted(client, home)
    path = f"/appeals/{appeal}/withdraw"
    assert _post(client, path, home.token()).json()["state"] == "withdrawn"
    assert _post(client, path, home.token()).status_code == 200
    assert _post(client, f"/appeals/{appeal}/take", home.reviewer()).status_code == 409


def test_a_label_waits_until_the_lake_has_the_event(home: Home, client: TestClient) -> None:
    late = event("late", "an event that was not ingested yet")
    home.record([line(verdict("late"), late)])
    appeal = _post(client, "/appeals", home.token(), event_id="late", statement="x").json()
    _post(client, f"/appeals/{appeal['appeal']}/take", home.reviewer())
    said = _post(client, f"/appeals/{appeal['appeal']}/decide", home.reviewer(),
                 decision="overturn", reason="fine").json()  # fmt: skip
    assert said["effects"] == {"reversal": "reversed", "label": "", "golden_case": ""}
    home.land([late], "2026-01-06")
    assert home.desk().effects.carry_out() == 2
    assert lake.read(home.lake, "labels", ["2026-01-06"])["label"].to_pylist() == ["ham"]
    assert home.desk().effects.carry_out() == 0


def test_a_platform_that_is_down_is_told_later_and_once(home: Home, client: TestClient) -> None:
    home.platform.down = True
    said = _decided(client, home, "overturn")
    assert said["effects"]["reversal"] == ""
    assert lake.read(home.lake, "labels", [DAY]).num_rows == 1, "the label does not wait for it"
    home.platform.down = False
    assert home.desk().effects.carry_out() == 1
    assert home.desk().effects.carry_out() == 0
    assert len(home.platform.told) == 1


def test_a_case_with_another_right_answer_is_left_to_people(home: Home, client: TestClient) -> None:
    from pipelines.golden_cases import GoldenCase, Provenance, add_cases

    known = event("k", TEXT).model_copy(update={"account": None, "occurred_at": None})
    add_cases(home.lake, [GoldenCase(known, "spam", "must_catch",
                                     Provenance("hand", "x", "bea", NOW, "a scam"))])  # fmt: skip
    said = _decided(client, home, "overturn")
    assert said["effects"]["golden_case"].startswith("refused")
    assert said["effects"]["label"] == f"ham on {DAY}"


def test_the_page_appeals_and_shows_what_follows(home: Home, client: TestClient) -> None:
    empty = client.get("/")
    assert empty.status_code == 200
    assert "default-src 'none'" in empty.headers["content-security-policy"]
    form = {"event_id": "e1", "statement": "<b>please</b>", "token": home.token()}
    done = client.post("/", data=form)
    assert (done.status_code, "waits for a person" in done.text) == (201, True)
    assert "<form" not in done.text
    refused = client.post("/", data=form | {"token": "", "event_id": "<script>"})
    assert refused.status_code == 401
    assert "<script>" not in refused.text
    assert "&lt;b&gt;please&lt;/b&gt;" in refused.text, "what was typed is not lost"


def test_health_is_for_all(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
