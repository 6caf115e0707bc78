"""The parts of `bench-quality` as tables: for the terminal, and as one page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Row = Mapping[str, Any]
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;
color:#202124;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.5rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;margin:.75rem 0}
th,td{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #dadce0;white-space:nowrap}
th{color:#5f6368;font-weight:600}td.wide{white-space:normal;min-width:16rem}
.met{color:#0b6e4f}.missed{color:#b3261e;font-weight:600}small{color:#5f6368}
@media(prefers-color-scheme:dark){body{color:#e8eaed;background:#202124}
th,small{color:#9aa0a6}th,td{border-color:#3c4043}.met{color:#5bc49b}.missed{color:#ff8a80}}
"""
WIDE = 40


def tables_of(rows: Sequence[Row]) -> list[tuple[list[str], list[list[str]]]]:
    """Rows that have the same columns, together: (header, cells) for each such table."""
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    for row in rows:
        tables.setdefault(tuple(row), []).append([shown(value) for value in row.values()])
    return [(list(header), cells) for header, cells in tables.items()]


def shown(value: Any) -> str:
    """A figure with its interval, a rounded number, or the text.

    >>> shown({"value": 0.5, "low": 0.25, "high": 0.75}), shown(0.123), shown(None)
    ('0.5 [0.25, 0.75]', '0.123', '')
    """
    if isinstance(value, Mapping) and {"value", "low", "high"} <= set(value):
        return f"{shown(value['value'])} [{shown(value['low'])}, {shown(value['high'])}]"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(entry)}" for key, entry in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def as_text(title: str, rows: Sequence[Row]) -> str:
    """The part for a terminal."""
    lines = ["", title]
    for header, cells in tables_of(rows):
        names = [name.replace("_", " ") for name in header]
        columns = zip(names, *cells, strict=True)
        widths = [min(max(map(len, column)), WIDE) for column in columns]
        for line in (names, *cells):
            padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
            lines.append("  " + "  ".join(padded).rstrip())
        lines.append("")
    return "\n".join(lines)


def as_page(report: Mapping[str, Any]) -> str:
    """The whole report as one self-contained page."""
    parts = [
        f"<h2>{escape(part['title'])}</h2>" + "".join(map(_table, tables_of(part["rows"])))
        for part in report["parts"]
    ]
    met = sum(bool(goal["met"]) for goal in report["goals"])
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'><title>bench-quality</title>"
        f"<style>{STYLE}</style><h1>How well Weir tells spam from ham</h1>"
        f"<p><small>commit {escape(str(report['commit']))}, {report['seconds']} s. Figures in "
        f"brackets are 95 % intervals.</small></p><h2>Goals: {met} of {len(report['goals'])} met"
        f"</h2>{_goals(report['goals'])}{''.join(parts)}</html>"
    )


def _table(table: tuple[list[str], list[list[str]]]) -> str:
    header, cells = table
    names = "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in header)
    lines = "".join(f"<tr>{''.join(map(_cell, line))}</tr>" for line in cells)
    return f"<div class=scroll><table><tr>{names}</tr>{lines}</table></div>"


def _cell(text: str) -> str:
    kind = " class=wide" if len(text) > WIDE else ""
    return f"<td{kind}>{escape(text)}</td>"


def _state(goal: Row) -> str:
    """Whether the goal is met, and whether the interval leaves that open."""
    settled = "" if goal.get("settled", True) else ", not settled"
    return f"{'met' if goal['met'] else 'not met'}{settled}"


def _goals(goals: Sequence[Row]) -> str:
    lines = "".join(
        f"<tr><td class={'met' if goal['met'] else 'missed'}>{_state(goal)}</td>"
        f"<td class=wide>{escape(goal['statement'])}</td>"
        f"<td>{escape(str(goal['target']))}</td><td>{escape(shown(goal['measured']))}</td></tr>"
        for goal in goals
    )
    header = "<tr><th></th><th>goal</th><th>target</th><th>measured</th></tr>"
    return f"<div class=scroll><table>{header}{lines}</table></div>"
