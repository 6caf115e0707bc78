"""Label Studio on this machine: made when first needed, on loopback, its data in the Weir home."""

from __future__ import annotations

import argparse
import subprocess
import time
from typing import Any
from urllib.parse import urlsplit

from data_contracts.config import PROJECT, Settings
from data_contracts.errors import ConfigurationError, MissingPart
from data_contracts.secrets import (
    LABEL_STUDIO_PASSWORD,
    LABEL_STUDIO_TOKEN,
    create_local_secrets,
    secret,
)
from infra.local.commands import CommandError, call
from infra.local.console import say, say_addresses
from infra.local.preflight import check_machine, check_ports
from infra.local.process import Process
from infra.local.setup import REVIEW, ensure
from infra.local.supervisor import Supervisor

LOOPBACK = ("127.0.0.1", "localhost")
START_SECONDS = 240.0  # its first start makes a database: 26 s on an idle machine


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Start Label Studio unless it runs, sync with it, and say where to review."""
    if arguments.watch is not None and arguments.watch <= 0:
        raise ConfigurationError(f"--watch {arguments.watch:g} must be above 0 seconds")
    start(settings)
    done = call(settings, "pipelines", "review-sync")
    say_sync(done)
    say_addresses("Review in Label Studio", {"Tasks": done["page"]})
    say(
        f"sign in as {settings.review.administrator} with {LABEL_STUDIO_PASSWORD} of "
        f"{settings.home / 'secrets.env'}, press `Label all tasks`, and answer by keyboard: "
        "s spam, h ham, Enter submits.\n"
        f"invite reviewers at {settings.review.url}/organization/ · sync again with "
        "`.venv/bin/python -m pipelines review-sync` · stop with `make down`"
    )
    while arguments.watch is not None:
        time.sleep(arguments.watch)
        try:
            say_sync(call(settings, "pipelines", "review-sync"))
        except CommandError as error:  # what was not brought now is brought next time
            say(str(error))


def start(settings: Settings) -> bool:
    """Whether Label Studio was started now. Raises MissingPart where it cannot be installed."""
    create_local_secrets(settings.home)
    service = process(settings)
    supervisor = Supervisor(settings.home)
    if supervisor.is_running(service.name):
        supervisor.wait_until_ready(service)
        return False
    check_machine(settings, environments=(".venv",))
    check_ports([service], address(settings)[0])
    install()
    say("starting Label Studio (about half a minute; its database is made at the first start)")
    (settings.home / "label-studio").mkdir(parents=True, exist_ok=True)
    supervisor.start(service)
    supervisor.wait_until_ready(service)
    return True


def install() -> None:
    """Make the review environment where it is missing or outdated."""
    try:
        ensure(REVIEW)
    except (subprocess.CalledProcessError, OSError) as error:
        raise MissingPart(
            f"{REVIEW} could not be made ({error}); the lines above say why; mend that and run "
            "`make review` again"
        ) from None


def process(settings: Settings) -> Process:
    """The server. Secrets are in its environment: a command line is visible to every user."""
    host, port = address(settings)
    return Process(
        name="label-studio",
        argv=(
            str(PROJECT / REVIEW / "bin" / "label-studio"), "start", "--no-browser",
            "--internal-host", host, "--port", str(port),
        ),
        environment=environment(settings),
        ready_url=f"{settings.review.url}/health",
        ready_timeout_seconds=START_SECONDS,
        port=port,
        setting="review.url",
    )  # fmt: skip


def environment(settings: Settings) -> dict[str, str]:
    """Label Studio's settings: it calls nobody, lets in only who is invited, answers no other site.

    It reads these names before those without the prefix, so the caller's own do not leak in.
    """
    values: dict[str, Any] = {
        "BASE_DATA_DIR": settings.home / "label-studio",
        "USERNAME": settings.review.administrator,
        "PASSWORD": secret(LABEL_STUDIO_PASSWORD, settings.home),
        "USER_TOKEN": secret(LABEL_STUDIO_TOKEN, settings.home),
        "ENABLE_LEGACY_API_TOKEN": True,
        "DISABLE_SIGNUP_WITHOUT_LINK": True,
        "COLLECT_ANALYTICS": False,
        "LATEST_VERSION_CHECK": False,
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "ALLOWED_HOSTS": ",".join(LOOPBACK),
        "CORS_ALLOW_ALL_ORIGINS": False,
        "ENABLE_LOCAL_FILES_STORAGE": False,
        "DEBUG": False,
        "DJANGO_DB": "sqlite",
        "HOST": "",
        "EDITOR_KEYMAP": '{"annotation:submit": {"key": "enter", "mac": "enter"}}',
    }
    return {f"LABEL_STUDIO_{name}": str(value) for name, value in values.items()}


def address(settings: Settings) -> tuple[str, int]:
    """Host and port of review.url. Raises ConfigurationError where that is another machine."""
    url = urlsplit(settings.review.url)
    if url.scheme != "http" or url.hostname not in LOOPBACK:
        raise ConfigurationError(
            f"review.url = {settings.review.url}: `make review` starts Label Studio on this "
            "machine only; set it to http://127.0.0.1:PORT, or sync with a server that runs "
            "elsewhere by `python -m pipelines review-sync`"
        )
    return url.hostname, url.port or 80


def say_sync(done: dict[str, Any]) -> None:
    """One line on what a sync did, and a line for each annotation that was changed too late."""
    say(
        f"{done['created']} tasks sent, {done['submitted']} answers brought"
        + "".join(
            f", {done[name]} {name.replace('_', ' ')}"
            for name in ("released", "unused", "unclear", "without_event")
            if done[name]
        )
    )
    for changed in done["changed"]:
        say(f"  changed after it was brought, the first answer stays: {changed}")
