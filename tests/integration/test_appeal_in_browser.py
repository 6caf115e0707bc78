"""From a person's appeal to the label, by forms and keys in a real browser, against the service.

The platform is emulated (`tests/performance/platform_emulator.py`); all else is as it runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from data_contracts.config import PROJECT
from data_contracts.secrets import ACCOUNT_KEY, APPEALS_KEY, create_local_secrets
from pipelines import audit_trail, lake
from pipelines.accounts import hash_account
from pipelines.golden_cases import read_cases
from pipelines.state import open_state
from serving.appeals.proof import ACCOUNT, signed
from tests.appeal_cases import Home, event, line, verdict
from tests.healthy import wait_until_healthy
from tests.integration.test_model_card_in_browser import (
    DESKTOP,
    OVERFLOW,
    PHONE,
    WAIT_MILLISECONDS,
)
from tests.mlflow_server import free_port
from tests.performance.platform_emulator import PlatformEmulator, platform_emulator

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]
SECONDS = 60.0
ALT = 1  # https://chromedevtools.github.io/devtools-protocol/tot/Input/#method-dispatchKeyEvent
TEXT = "Are we still on for the climbing hall on Friday? Bring the long rope."
STATEMENT = "It is a message to a friend. <b>Nothing</b> is sold."
REASON = "An ordinary message between friends."


@dataclass(frozen=True)
class Service:
    """The appeals service over a home in which messages of ada (e1) and bob (e2) were blocked."""

    home: Path
    url: str
    platform: PlatformEmulator
    environment: dict[str, str]
    day: str

    def account_token(self, name: str) -> str:
        """As the platform signs it."""
        key = create_local_secrets(self.home)[APPEALS_KEY]
        return signed(key, name, ACCOUNT, datetime.now(UTC) + timedelta(hours=1))

    def reviewer_token(self, name: str) -> str:
        """By the verb that people use."""
        command = [sys.executable, "-m", "serving", "appeals-token", "--reviewer", name]
        made = subprocess.run(
            command, cwd=PROJECT, env=self.environment, capture_output=True, check=True, timeout=60
        )
        return made.stdout.decode().strip()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder, now = tmp_path_factory.mktemp("weir"), datetime.now(UTC)
    secrets, day, port = create_local_secrets(folder), now.date().isoformat(), free_port()
    events = [
        event(one, text, account=None).model_copy(
            update={"account": hash_account(who, secrets[ACCOUNT_KEY]), "occurred_at": now}
        )
        for one, text, who in (("e1", TEXT, "ada"), ("e2", "See you there.", "bob"))
    ]
    engine = open_state(f"sqlite:///{folder}/other.sqlite")
    home, reasons = Home(folder, engine), ("wording_of_spam", "contains_links")
    home.record([line(verdict(one.event_id, reasons=reasons), one, now) for one in events])
    home.land(events, day)
    engine.dispose()
    with platform_emulator(secrets[APPEALS_KEY]) as platform:
        environment = {
            **os.environ, "WEIR_HOME": str(folder), "WEIR__APPEALS__PORT": str(port),
            "WEIR__APPEALS__WEBHOOK_URL": platform.url,
        }  # fmt: skip
        with (folder / "appeals.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "serving", "appeals"], cwd=PROJECT, env=environment,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_healthy(url, process, folder / "appeals.log")
            yield Service(folder, url, platform, environment, day)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) in (0, -signal.SIGTERM)
    said = (folder / "appeals.log").read_text()
    assert "Traceback" not in said
    assert "climbing" not in said
    assert "friend" not in said


def test_a_person_appeals_and_a_reviewer_overturns_by_keyboard_and_the_lake_learns_of_it(
    service: Service, browser: Browser, tmp_path: Path
) -> None:
    account = _opened(browser, service.url)
    account.get_by_label("Which post").fill("e1")
    account.get_by_label("What should the person").fill(STATEMENT)
    account.get_by_label("Your proof").fill(service.account_token("ada"))
    account.screenshot(path=tmp_path / "account.png")
    account.get_by_role("button", name="Appeal").click()
    expect(account.get_by_role("status")).to_contain_text("waits for a person")

    review = _opened(browser, f"{service.url}/review")
    expect(review).to_have_url(f"{service.url}/review/sign-in")
    review.get_by_label("Your reviewer's token").fill(service.reviewer_token("rae"))
    review.keyboard.press("Enter")
    expect(review).to_have_url(f"{service.url}/review")
    assert "climbing" not in review.content(), "the queue shows nothing that people wrote"
    _look(review, tmp_path, "queue")
    number = review.get_by_role("link", name="block of e1").get_attribute("accesskey")
    _access(review, number or "none")
    expect(review.get_by_text(TEXT)).to_be_visible()
    expect(review.get_by_text(STATEMENT)).to_be_visible()  # as text, not as HTML
    expect(review.get_by_text("its wording is like spam's")).to_be_visible()
    _look(review, tmp_path, "appeal")
    _access(review, "t")
    expect(review.get_by_label("Why, for the account to read")).to_be_focused()
    review.keyboard.type(REASON)
    _look(review, tmp_path, "decision")
    _access(review, "o")
    expect(review.get_by_role("status")).to_contain_text("Overturned by rae")
    _look(review, tmp_path, "overturned")

    account.goto(service.url)
    expect(account.get_by_text(REASON)).to_be_visible()
    expect(account.get_by_text("It is undone.")).to_be_visible()
    assert "rae" not in account.content(), "an account does not learn who decided"
    _look(account, tmp_path, "account-after")
    _check_what_followed(service)


def test_forms_of_others_and_of_who_is_not_signed_in_change_nothing(
    service: Service, browser: Browser
) -> None:
    """The same requests with the browser's cookies, but without the word of the page."""
    account = _opened(browser, service.url)
    proof = {"event_id": "e2", "statement": "x", "token": service.account_token("bob")}
    assert account.request.post(service.url, form=proof).status == 201
    review = _opened(browser, f"{service.url}/review")
    review.get_by_label("Your reviewer's token").fill(service.reviewer_token("rae"))
    review.get_by_role("button", name="Sign in").click()
    link = review.get_by_role("link", name="block of e2").get_attribute("href")
    path = f"{service.url}{link}"
    for cookie in review.context.cookies():
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert review.request.post(f"{path}/take", form={"csrf": "guessed"}).status == 403
    assert review.request.post(f"{path}/take").status == 403
    review.goto(path)
    word = review.locator("input[name=csrf]").first.input_value()
    foreign = {"sec-fetch-site": "cross-site"}
    sent = review.request.post(f"{path}/take", form={"csrf": word}, headers=foreign)
    assert sent.status == 403
    assert _states(service) == {"submitted"}
    stranger = browser.new_context()
    assert stranger.request.get(path).url.endswith("/review/sign-in")
    assert stranger.request.post(f"{path}/take", form={"csrf": word}).url.endswith("/sign-in")
    assert account.request.post(f"{service.url}/withdraw", form={"appeal": "x"}).status == 403
    assert _states(service) == {"submitted"}


def _check_what_followed(service: Service) -> None:
    (label,) = lake.read(service.home / "lake", "labels", [service.day]).to_pylist()
    assert (label["event_id"], label["label"], label["source"]) == ("e1", "ham", "appeal")
    (case,) = read_cases(service.home / "lake")
    assert (case.kind, case.event.text, case.event.account) == ("must_not_block", TEXT, None)
    assert [one["event_id"] for one in service.platform.undone.values()] == ["e1"]
    engine = open_state(f"sqlite:///{service.home}/state/weir.sqlite")
    rows = audit_trail.entries(engine)
    assert audit_trail.verify(engine) is None
    engine.dispose()
    assert ("rae", "appeal: under_review → overturned") in [(row.who, row.what) for row in rows]


def _states(service: Service) -> set[str]:
    from sqlalchemy import select

    from pipelines.labelling.appeal_tables import APPEALS
    from pipelines.state import reading

    engine = open_state(f"sqlite:///{service.home}/state/weir.sqlite")
    with reading(engine) as connection:
        found = set(
            connection.execute(select(APPEALS.c.state).where(APPEALS.c.event_id == "e2")).scalars()
        )
    engine.dispose()
    return found


def _opened(browser: Browser, url: str) -> Page:
    """In a context of its own: another person's browser."""
    context = browser.new_context(viewport={"width": DESKTOP, "height": 900})
    context.set_default_timeout(WAIT_MILLISECONDS)
    page = context.new_page()
    page.on("requestfailed", lambda request: pytest.fail(f"{request.url} failed"))
    page.goto(url)
    return page


def _access(page: Page, key: str) -> None:
    """Alt and an access key. Playwright's own `press` leaves out which character the key would
    give without Alt, and by that Chromium knows an access key.
    """
    code = f"Digit{key}" if key.isdigit() else f"Key{key.upper()}"
    stroke = {"modifiers": ALT, "key": key, "code": code, "unmodifiedText": key,
              "windowsVirtualKeyCode": ord(key.upper())}  # fmt: skip
    session = page.context.new_cdp_session(page)
    session.send("Input.dispatchKeyEvent", {"type": "keyDown", "text": key, **stroke})
    session.send("Input.dispatchKeyEvent", {"type": "keyUp", **stroke})
    session.detach()


def _look(page: Page, folder: Path, name: str) -> None:
    """Pictures at both widths, on which nothing may stick out; focus stays where it was."""
    for width in (PHONE, DESKTOP):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(OVERFLOW) == 0, f"{name} at {width} px"
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)
