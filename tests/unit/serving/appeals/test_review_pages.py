"""The reviewers' pages: who may see what, what a form may change, and how an error is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from pipelines.state import open_state
from serving.appeals.application import Application
from serving.appeals.sessions import COOKIES, WORD
from tests.appeal_cases import Home, event, line, verdict

TEXT, STATEMENT = "see you at the meeting on friday", "<i>please</i> look again"
BODY_BYTES = 2000


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    engine = open_state(f"sqlite:///{tmp_path}/state.sqlite")
    home = Home(tmp_path, engine)
    mine = event("e1; rm -rf /", TEXT)
    home.record([line(verdict(mine.event_id, reasons=("disguised_text", "new_code")), mine)])
    home.land([mine])
    yield home
    engine.dispose()


def client_of(home: Home) -> TestClient:
    application = Application(home.desk(), BODY_BYTES, home.said.append).app()
    return TestClient(application, base_url="http://127.0.0.1:8603")


def reviewing(home: Home, name: str = "rae") -> TestClient:
    """Signed in."""
    client = client_of(home)
    signed_in = client.post("/review/sign-in", data={"token": home.reviewer(name)})
    assert (signed_in.status_code, signed_in.url.path) == (200, "/review")
    return client


def appealed(home: Home) -> str:
    """The address of the appeal's page."""
    answer = client_of(home).post(
        "/", data={"event_id": "e1; rm -rf /", "statement": STATEMENT, "token": home.token()}
    )
    assert answer.status_code == 201
    (appeal,) = home.store().in_state("submitted")
    return f"/review/{appeal.id}"


def word_of(client: TestClient, path: str) -> str:
    found = re.search(rf'name="{WORD}" value="([0-9a-f]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def sent(client: TestClient, path: str, step: str, **fields: str) -> int:
    """The status of a form that was sent from the appeal's page."""
    given = {WORD: word_of(client, path), **fields}
    return client.post(f"{path}/{step}", data=given, follow_redirects=False).status_code


def test_a_reviewer_takes_gives_back_takes_again_and_upholds(home: Home) -> None:
    path, client = appealed(home), reviewing(home)
    assert sent(client, path, "take") == 303
    assert sent(client, path, "release") == 303
    assert home.store().in_state("submitted")
    assert sent(client, path, "take") == 303
    assert sent(client, path, "decide", decision="uphold", reason="It sells pills.") == 303
    shown = client.get(path).text
    assert "Upheld by rae" in shown
    assert "It sells pills." in shown
    assert "label: spam on" in shown


def test_only_the_page_of_one_appeal_shows_what_people_wrote(home: Home) -> None:
    path, client = appealed(home), reviewing(home)
    queue, shown = client.get("/review").text, client.get(path).text
    assert "meeting" not in queue
    assert "please" not in queue
    assert TEXT in shown
    assert "&lt;i&gt;please&lt;/i&gt;" in shown
    assert "its text is disguised" in shown
    assert "new code" in shown, "a reason without words of its own stays as it is"
    assert "inspect &#39;e1; rm -rf /&#39;" in shown, "a command to copy is quoted for a shell"


def test_another_reviewer_sees_who_holds_it_until_the_lease_ends(home: Home) -> None:
    path = appealed(home)
    assert sent(reviewing(home, "rae"), path, "take") == 303
    sol = reviewing(home, "sol")
    assert "rae holds it" in sol.get(path).text
    home.clock.forward(hours=1)  # tokens of these tests are good for one
    later = reviewing(home, "sol")
    assert "rae holds it" in later.get(path).text
    home.clock.forward(hours=1, seconds=1)
    later = reviewing(home, "sol")
    assert sent(later, path, "take") == 303
    rae = reviewing(home, "rae")
    given = {WORD: word_of(rae, "/review"), "decision": "uphold", "reason": "my own words"}
    refused = rae.post(f"{path}/decide", data=given)
    assert (refused.status_code, "not held by rae" in refused.text) == (409, True)


def test_a_decision_without_a_reason_is_refused_and_told_why(home: Home) -> None:
    path, client = appealed(home), reviewing(home)
    assert sent(client, path, "take") == 303
    given = {WORD: word_of(client, path), "decision": "overturn", "reason": " "}
    refused = client.post(f"{path}/decide", data=given)
    assert (refused.status_code, "reason" in refused.text) == (400, True)
    given |= {"reason": "kept as typed", "decision": "perhaps"}
    refused = client.post(f"{path}/decide", data=given)
    assert (refused.status_code, "kept as typed</textarea>" in refused.text) == (400, True)
    assert len(home.store().in_state("under_review")) == 1


@pytest.mark.parametrize("path", ["/review", "/review/some-appeal"])
def test_who_is_not_signed_in_or_is_an_account_is_led_to_the_sign_in(home: Home, path: str) -> None:
    client = client_of(home)
    for token in ("", "nonsense", home.token()):
        client.cookies.set(COOKIES["review"], token)
        assert client.get(path).url.path == "/review/sign-in"
    client.cookies.clear()
    refused = client.post("/review/sign-in", data={"token": home.token()})
    assert (refused.status_code, COOKIES["review"] in client.cookies) == (401, False)


def test_a_form_without_the_word_or_from_elsewhere_changes_nothing(home: Home) -> None:
    path, client = appealed(home), reviewing(home)
    word, other = word_of(client, path), word_of(reviewing(home, "sol"), path)
    for given, headers in (
        ({}, {}), ({WORD: ""}, {}), ({WORD: other}, {}), ({WORD: "é"}, {}),
        ({WORD: word}, {"sec-fetch-site": "cross-site"}),
        ({WORD: word}, {"sec-fetch-site": "same-site"}),
    ):  # fmt: skip
        answer = client.post(f"{path}/take", data=given, headers=headers)
        assert (answer.status_code, "nothing was changed" in answer.text) == (403, True)
    assert client.post(f"{path}/take", content=b"x" * (BODY_BYTES + 1)).status_code == 403
    assert home.store().in_state("submitted")
    foreign = client_of(home)
    foreign.post("/review/sign-in", data={"token": home.reviewer()},
                 headers={"sec-fetch-site": "cross-site"})  # fmt: skip
    assert COOKIES["review"] not in foreign.cookies, "nobody is signed in by another site"


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(home: Home) -> None:
    client = client_of(home)
    answer = client.post("/review/sign-in", data={"token": home.reviewer()}, follow_redirects=False)
    kept = answer.headers["set-cookie"]
    assert ("HttpOnly" in kept, "SameSite=strict" in kept, "Secure" in kept) == (True, True, False)
    tls = TestClient(client.app, base_url="https://appeals.example")
    secure = tls.post("/review/sign-in", data={"token": home.reviewer()}, follow_redirects=False)
    assert "Secure" in secure.headers["set-cookie"]
    assert client.get("/review", headers={"cookie": kept.split(";")[0]}).status_code == 200


def test_an_account_sees_its_own_appeals_and_takes_one_back(home: Home) -> None:
    client = client_of(home)
    form = {"event_id": "e1; rm -rf /", "statement": STATEMENT}
    assert client.post("/", data=form | {"token": home.token()}).status_code == 201
    page = client.get("/").text
    assert "Your appeal waits for a person." in page
    assert "name=token" not in page, "who is signed in needs no token"
    (appeal,) = home.store().in_state("submitted")
    given = {"appeal": appeal.id, WORD: word_of(client, "/")}
    assert client.post("/withdraw", data=given | {WORD: "x"}).status_code == 403
    stranger = client_of(home)
    stranger.post("/", data=form | {"token": home.token("bob")})
    assert stranger.post("/withdraw", data=given).status_code == 403
    assert client.post("/withdraw", data=given).url.path == "/"
    assert "You took the appeal back." in client.get("/").text
    assert client.post("/sign-out", data={WORD: word_of(client, "/")}).url.path == "/"
    assert "Your appeals" not in client.get("/").text


def test_what_is_not_known_is_told_with_the_way_back(home: Home) -> None:
    client = reviewing(home)
    for path, status in (("/review/none", 404), ("/review?state=lost", 400)):
        answer = client.get(path)
        assert (answer.status_code, 'href="/review"' in answer.text) == (status, True)
        assert "token" not in answer.text
