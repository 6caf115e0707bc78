"""Alertmanager and its own checker, where installed (Debian: `prometheus-alertmanager`)."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from data_contracts.config import PROJECT

CONFIGURATION = PROJECT / "infra" / "alerts" / "alertmanager" / "alertmanager.yaml"


def _binary() -> str | None:
    """Debian calls it `prometheus-alertmanager`."""
    return shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


NEEDED = pytest.mark.skipif(
    shutil.which("amtool") is None or _binary() is None,
    reason="Alertmanager is not installed: apt-get install prometheus-alertmanager",
)


def alertmanager() -> str:
    """The path of the server's binary."""
    found = _binary()
    assert found is not None
    return found


def amtool(*arguments: str) -> str:
    """What it says; AssertionError with that where it ends with another code than 0."""
    done = subprocess.run(
        ["amtool", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
