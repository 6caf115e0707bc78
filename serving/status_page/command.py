"""`python -m serving status-page`: the page for whoever is on call, until SIGTERM."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import uvicorn
from sqlalchemy import Engine

from data_contracts.config import Settings
from data_contracts.errors import WeirError
from serving.exposure import open_protection
from serving.incidents.playbooks import Playbooks, load_playbooks
from serving.status_page.application import Application
from serving.status_page.file_facts import read_files
from serving.status_page.hourly_report import read_hour
from serving.status_page.incident_facts import read_case
from serving.status_page.neighbours import challenger_of, dags_of
from serving.status_page.sign_in import SignIn
from serving.status_page.state_facts import open_for_reading, read_state
from serving.status_page.watching import Source, Watching

GRACE_SECONDS = 5
LOOPBACK = ("127.0.0.1", "localhost")  # names by which a browser asks for it there


def run(_arguments: argparse.Namespace, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError off loopback without tokens."""
    host, ours = settings.serving.host, settings.status_page
    protection = open_protection(host, settings.serving)
    engine = engine_of(settings)
    watching = Watching(sources_of(settings, engine), _now, _say)
    application = Application(
        settings, watching.facts, lambda number: read_case(engine(), number),
        lambda: playbooks_of(settings), SignIn(protection.tokens, _now), _say,
        hosts=LOOPBACK if host in LOOPBACK else ("*",),
    )  # fmt: skip
    watching.start(ours.refresh_seconds)
    _say(f"http{'s' if protection.tls else ''}://{host}:{ours.port}")
    tls: dict[str, Any] = {}
    if protection.tls is not None:
        tls = {"ssl_certfile": protection.tls.certificate, "ssl_keyfile": protection.tls.key}
    try:
        uvicorn.run(
            application.app(), host=host, port=ours.port, log_level="warning", access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS, **tls,
        )  # fmt: skip
    finally:
        watching.stop()


def engine_of(settings: Settings) -> Callable[[], Engine]:
    """Opens the state database at the first question that it answers, for reading only."""
    return cache(lambda: open_for_reading(settings.state_url))


def sources_of(settings: Settings, engine: Callable[[], Engine]) -> Mapping[str, Source]:
    """By the names of `Facts`' fields."""
    sources: dict[str, Source] = {
        "state": lambda: read_state(engine(), _now()),
        "files": lambda: read_files(settings),
        "report": lambda: read_hour(settings.reports / "monitoring" / "latest.json"),
    }
    if "mlflow" in settings.status_page.beside:
        sources["mlflow"] = challenger_of(settings)
    if "airflow" in settings.status_page.beside:
        sources["airflow"] = dags_of(settings)
    return sources


def playbooks_of(settings: Settings) -> Playbooks | None:
    """None where the file cannot be read: the page is then without guidance, not away."""
    try:
        return load_playbooks(settings.incidents.playbooks)
    except WeirError:
        return None


def _now() -> datetime:
    return datetime.now(UTC)


def _say(line: str) -> None:
    print(f"status page: {line}", flush=True)
