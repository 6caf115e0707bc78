"""Prometheus's own checker, where it is installed (Debian package `prometheus`)."""

from __future__ import annotations

import shutil
import subprocess

import pytest

NEEDED = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="promtool and prometheus are not installed: apt-get install prometheus",
)


def promtool(*arguments: str) -> str:
    """What it says; AssertionError with that where it ends with another code than 0."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
