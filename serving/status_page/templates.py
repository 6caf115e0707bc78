"""Jinja's environment of our pages: escaping everywhere, one base with one style."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

OURS = Path(__file__).parent


@cache
def environment(folder: Path = OURS) -> Environment:
    """Templates of `folder`, which may extend `base.html.j2`; a name that is not given fails."""
    return Environment(
        loader=FileSystemLoader([folder, OURS]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
