"""Pages that other parts wrote under the home's `reports`, served for reading; nothing executes.

Only folders and kinds of files that are named here, only what truly lies in them (a link that leads
out of them does not), only whole files of a bounded size. The policy that goes with them lets no
script, no form and nothing from elsewhere in (CSP level 3, https://www.w3.org/TR/CSP3/).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

FOLDERS = ("monitoring", "rollout", "gates", "incidents", "sampling", "drift", "business")
ALL_SCRIPT = ("drift",)  # their pages are Evidently's, and empty without scripts: see its workspace
KINDS: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".md": "text/html; charset=utf-8",  # as it is rendered
}
MOST_BYTES = 32 * 2**20
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
READING = """body{font:15px/1.55 system-ui,sans-serif;max-width:54rem;margin:0 auto;padding:1rem;
overflow-wrap:anywhere}:root{color-scheme:light dark}table{border-collapse:collapse;display:block;
overflow-x:auto}th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;
border-bottom:1px solid #8884}img{max-width:100%;background:#fff}h1{font-size:1.35rem}
h2{font-size:1.1rem;margin-top:1.8rem}"""


@dataclass(frozen=True)
class Report:
    """A file as it is sent."""

    content: bytes
    kind: str


def find(reports: Path, asked: str) -> Report | None:
    """The report of this path below `reports`; None for all that is not served, whyever."""
    parts = asked.split("/")
    if len(parts) < 2 or parts[0] not in FOLDERS or any(_is_odd(part) for part in parts):
        return None
    folder = (reports / parts[0]).resolve()
    path = reports.joinpath(*parts)
    if path.suffix not in KINDS or not path.is_file():
        return None
    if path.suffix == ".html" and parts[0] in ALL_SCRIPT:
        return None
    if not path.resolve().is_relative_to(folder) or path.stat().st_size > MOST_BYTES:
        return None
    content = path.read_bytes()
    if path.suffix == ".md":
        content = rendered(content.decode("utf-8", "replace"), path.name).encode()
    return Report(content, KINDS[path.suffix])


def rendered(markdown: str, title: str) -> str:
    """Markdown as a page. HTML in it stays text; comments are for whoever edits the file."""
    from markdown_it import MarkdownIt

    body = (
        MarkdownIt("commonmark", {"html": False}).enable("table").render(COMMENT.sub("", markdown))
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{READING}</style>{body}\n"
    )


def _is_odd(part: str) -> bool:
    """
    >>> [_is_odd(part) for part in ("..", "", ".hidden", "a\\\\b", "version=7.html")]
    [True, True, True, True, False]
    """
    return not part or part.startswith(".") or re.search(r"[\x00-\x1f\\:]", part) is not None
