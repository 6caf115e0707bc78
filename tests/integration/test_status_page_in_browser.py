"""The status page as a process in a real browser: from an alert to an incident to a mitigation.

Alerts go into the inbox and through the responder's own store, of which this process is the leader.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from data_contracts.config import PROJECT
from tests.healthy import wait_until_healthy
from tests.integration.test_model_card_in_browser import (
    DESKTOP,
    OVERFLOW,
    PHONE,
    WAIT_MILLISECONDS,
)
from tests.mlflow_server import free_port
from tests.stand_ins.status_home import StatusHome, at_peace, status_home

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]
SECONDS = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StatusHome]:
    port, folder = str(free_port()), tmp_path_factory.mktemp("weir")
    with status_home(folder, WEIR__STATUS_PAGE__PORT=port) as home:
        at_peace(home)
        environment = {
            **os.environ, "WEIR_HOME": str(folder), "WEIR__STATUS_PAGE__PORT": port,
            "WEIR__STATUS_PAGE__BESIDE": "[]", "WEIR__STATUS_PAGE__REFRESH_SECONDS": "0.2",
            "WEIR__STATUS_PAGE__RELOAD_SECONDS": "1",
        }  # fmt: skip
        with (folder / "status-page.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "serving", "status-page"], cwd=PROJECT, env=environment,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            wait_until_healthy(url_of(home), process, folder / "status-page.log")
            yield home
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) in (0, -signal.SIGTERM)
        assert "Traceback" not in (folder / "status-page.log").read_text()


def url_of(home: StatusHome) -> str:
    return f"http://127.0.0.1:{home.settings.status_page.port}"


def test_an_incident_appears_by_itself_and_what_is_mitigated_is_not_green(
    home: StatusHome, browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": DESKTOP, "height": 900})
    page.set_default_timeout(WAIT_MILLISECONDS)
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    page.goto(url_of(home))
    word = page.get_by_role("heading", level=1)
    expect(word).to_have_text("healthy")
    assert _is_green(page) == [True, True]
    _look(page, tmp_path, "healthy")

    home.alert(cause="release of version 7", language="tr")
    (number,) = home.respond()
    expect(word).to_have_text("incident")  # no click: the page reloads itself
    expect(page.get_by_text(f"incidents acknowledge {number}")).to_be_visible()
    assert _is_green(page) == [False, False]
    _look(page, tmp_path, "incident-open")

    home.mitigate(number, "threshold_shift", {"log_odds": 0.5}, "people are silenced")
    expect(word).to_have_text("mitigated")
    assert _is_green(page) == [False, False]
    expect(page.get_by_text("fewer events are acted upon").first).to_be_visible()
    _look(page, tmp_path, "mitigated")

    page.get_by_role("link", name="alerts, actions, next steps").click()
    expect(page.get_by_text("Read ten of the blocked events")).to_be_visible()
    expect(page.get_by_role("heading", name="act upon fewer events")).to_be_visible()
    _look(page, tmp_path, "one-incident")
    assert {one.split("/")[2] for one in outside} == {url_of(home).removeprefix("http://")}
    page.close()


def test_a_report_with_a_script_is_shown_and_its_script_is_not_run(
    home: StatusHome, browser: Browser
) -> None:
    attack = b"""<!doctype html><title>calm</title><style>p{color:rgb(1, 2, 3)}</style><p>figures
    <script>document.title = 'ran'</script><img src=x onerror="document.title = 'ran'">
    <svg onload="document.title = 'ran'"></svg>
    <a href="javascript:document.title='ran'">a link</a>"""
    home.write("reports/gates/ab/model_card.html", attack)
    page = browser.new_page()
    page.set_default_timeout(WAIT_MILLISECONDS)
    page.goto(f"{url_of(home)}/reports/gates/ab/model_card.html")
    page.get_by_role("link", name="a link").click()
    page.wait_for_timeout(300)
    assert page.title() == "calm"
    assert page.evaluate("getComputedStyle(document.querySelector('p')).color") == "rgb(1, 2, 3)"
    page.close()


def _is_green(page: Page) -> list[bool]:
    """The one word's colour, in the light and in the dark."""
    found = []
    for scheme, green in (("dark", "rgb(91, 196, 155)"), ("light", "rgb(11, 110, 79)")):
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        colour = page.locator("h1").evaluate("one => getComputedStyle(one).color")
        found.append(colour == green)
    return found


def _look(page: Page, folder: Path, name: str) -> None:
    """Pictures at both widths, on which nothing may stick out."""
    for width in (PHONE, DESKTOP):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(OVERFLOW) == 0, f"{name} at {width} px"
        page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=folder / f"{name}-{width}-dark.png", full_page=True)
        page.emulate_media(color_scheme="light")
