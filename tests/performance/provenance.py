"""What a benchmark's report says of the code that it ran."""

from __future__ import annotations

import subprocess

from data_contracts.config import PROJECT


def commit() -> str:
    """The commit, 12 characters, with `-dirty` where tracked files differ; unknown without git."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() or "unknown"
