"""A rollout as one page that needs nothing from elsewhere, and is read at phone width too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from data_contracts.files import write_atomically
from evaluation.monitoring.page import STYLE
from serving.rollout.picture import intervals, metrics, time_line
from serving.rollout.story import Record, Span, Story

PICTURES = """
figure{margin:.8rem 0;overflow-x:auto;background:#fff;color:#202124;padding:.5rem;border-radius:4px}
figure svg{max-width:100%;height:auto;min-width:38rem}
figcaption{font-size:.85rem;color:#5f6368}
tr.why div{position:sticky;left:0;max-width:min(56rem,calc(100vw - 2rem));white-space:normal;
overflow-wrap:anywhere;opacity:.8;font-size:.9rem}
tr:has(+tr.why) td{border:0}tr.why td{border-bottom:1px solid var(--line);padding:0 0 .4rem}
td.pass{color:var(--good)}td.fail{color:var(--bad)}
"""
TIME_LINE = (
    "Who answered: the candidate below (brown), the champion and its baseline above (grey); "
    "hatched: copies only. A line ends each phase: green passed, red failed."
)
INTERVALS = (
    "What the judge saw, look after look: harm and its interval, which holds at all looks at once. "
    "Dotted: tolerance; an interval wholly beyond it fails. Dashed: margin; an interval wholly "
    "within it passes. Vertical lines begin a phase, with its fresh servers and fresh evidence."
)


def write_page(story: Story, reports: Path) -> Path:
    """Write the page under `reports/rollout/`; the same story gives the same bytes."""
    path = reports / "rollout" / f"version={story.rollout.version}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page(story).encode())
    return path


def page(story: Story) -> str:
    """HTML with both pictures drawn in it."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Weir: rollout of version {escape(story.rollout.version)}</title>",
        f"<style>{STYLE}{PICTURES}</style>",
        f"<h1>{escape(story.headline)}</h1>",
        f"<p class=window>{_span(story)}",
        f"<p>{escape(story.rollout.reason)}",
        _figure(time_line(story), TIME_LINE),
        "<h2>What was decided, and why</h2>", _phases(story.spans),
    ]  # fmt: skip
    if metrics(story):
        parts += ["<h2>The judge's intervals</h2>", _figure(intervals(story), INTERVALS)]
    if story.latest is not None:
        parts += ["<h2>Its last word</h2>", _metrics(story.latest)]
    parts += ["<h2>Who did what</h2>", _trail(story)]
    return "\n".join(parts) + "\n"


def _span(story: Story) -> str:
    start, end = story.spans[0].start, story.spans[-1].end
    return f"{start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} UTC, rollout {story.rollout.id}"


def _phases(spans: Sequence[Span]) -> str:
    columns = ("phase", "weight", "took", "requests", "errors", "verdict")
    rows = [
        Row((span.name, f"{span.weight} %", f"{span.seconds:.0f} s", f"{span.requests:,}",
             f"{span.errors:,}", _verdict(span.verdict)), span.reason)
        for span in spans
    ]  # fmt: skip
    return _table(columns, rows)


def _metrics(record: Record) -> str:
    columns = (
        "metric", "candidate", "reference", "harm", "interval", "tolerance", "margin", "verdict",
    )  # fmt: skip
    rows = [
        Row((one["metric"], _number(one["canary"]), _number(one["reference"]),
             _number(one["estimate"]), f"[{_number(one['low'])}, {_number(one['high'])}]",
             _number(one["bound"]), _number(one.get("margin")), _verdict(one["verdict"])),
            one["reason"])
        for one in record["measurements"]
    ]  # fmt: skip
    return _table(columns, rows)


def _trail(story: Story) -> str:
    """From the audit trail: each row's hash holds the row before it."""
    columns = ("UTC", "who", "row", "hash")
    rows = [
        Row((f"{row.at:%H:%M:%S}", row.who, f"{row.number}", row.hash[:12]),
            row.what.partition(": ")[2])
        for row in story.trail
    ]  # fmt: skip
    return _table(columns, rows)


class _Cell(str):
    """A cell that is HTML already."""

    __slots__ = ()


class Row(NamedTuple):
    """A row of short cells, and below it what takes a sentence: it stays in sight on a phone."""

    cells: Sequence[str]
    words: str


def _verdict(verdict: str) -> _Cell:
    name = escape(verdict, quote=True)
    return _Cell(f"<td class='{name}'>{escape(verdict.replace('_', ' '))}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _figure(svg: bytes, caption: str) -> str:
    return f"<figure>{svg.decode()}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(columns: Sequence[str], rows: Iterable[Row]) -> str:
    head = "".join(f"<th>{escape(column)}" for column in columns)
    body = "".join(map(_row, rows))
    return f"<div class=scroll><table><tr>{head}{body}</table></div>"


def _row(row: Row) -> str:
    cells = "<tr>" + "".join(map(_cell, row.cells))
    if not row.words:
        return cells
    return f"{cells}<tr class=why><td colspan={len(row.cells)}><div>{escape(row.words)}</div>"


def _cell(content: str) -> str:
    return content if isinstance(content, _Cell) else f"<td>{escape(content)}"
