"""A trace as one page that needs nothing from elsewhere, and is read at phone width too."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from serving.event_trace import Passage, Trace
from serving.inspection_view import (
    Facts,
    Levels,
    StageLine,
    event_facts,
    headline,
    level_rows,
    passage_facts,
    signal_facts,
    stage_lines,
    title,
)

STYLE = """
:root{color-scheme:light dark;--line:#d9dce1;--soft:#f5f6f8;--dim:#5f6368;--ran:#0b6e4f;
--bad:#b3261e;--bar:#c9cdd3}
@media(prefers-color-scheme:dark){:root{--line:#3c4043;--soft:#26282c;--dim:#a0a4a8;--ran:#5bc49b;
--bad:#ff8a80;--bar:#4a4e54}}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,sans-serif;max-width:56rem;margin:0 auto;padding:1rem}
h1{font-size:1.3rem;margin:.2rem 0;overflow-wrap:anywhere}h2{font-size:1rem;margin:0 0 .6rem}
section{border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem;margin:1rem 0}
p.stands{margin:.2rem 0 1rem;color:var(--dim)}
dl{display:grid;grid-template-columns:6.5rem 1fr;gap:.15rem .8rem;margin:.6rem 0 0}
dt{color:var(--dim)}dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}
ol{list-style:none;margin:0;padding:0;border-left:2px solid var(--line)}
li{padding:.35rem 0 .35rem .9rem;position:relative;display:grid;
grid-template-columns:minmax(6rem,1fr) 4.6rem 4.6rem;gap:.1rem .6rem;
font-variant-numeric:tabular-nums}
li::before{content:"";position:absolute;left:-.42rem;top:.78rem;width:.7rem;height:.7rem;
border-radius:50%;background:var(--ran)}
li.skipped::before{background:Canvas;border:2px solid var(--bar)}
li.skipped b{font-weight:400;color:var(--dim)}
li span{text-align:right}li em{grid-column:1/-1;font-style:normal;color:var(--dim)}
li i{grid-column:1/-1;height:.35rem;border-radius:.2rem;background:var(--soft);overflow:hidden}
li i u{display:block;height:100%;background:var(--ran)}li i u.bad{background:var(--bad)}
li.head{color:var(--dim);font-size:.85rem}li.head::before{display:none}
div.scroll{overflow-x:auto}td{padding:.15rem .9rem .15rem 0;font-variant-numeric:tabular-nums}
summary{cursor:pointer;color:var(--dim);margin-top:.6rem}
"""


def as_page(
    trace: Trace, costs: Mapping[str, float], levels: Mapping[str, Levels] | None = None
) -> str:
    """As `serving.inspection_table.as_text`. Bars are scores, red from one half."""
    name = escape(trace.event_id)
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Weir: {name}</title><style>{STYLE}</style>",
        f"<h1>{name}</h1><p class=stands>{escape(headline(trace))}",
        _event(trace),
        *(_passage(one, costs) for one in reversed(trace.passages)),
        *(_levels(name, kinds) for name, kinds in (levels or {}).items()),
    ]
    return "\n".join(parts) + "\n"


def _event(trace: Trace) -> str:
    if trace.event is None:
        return "<section><h2>The event</h2>Its content is not at hand.</section>"
    signals = signal_facts(trace.event)
    more = f"<details><summary>{len(signals)} entries of its context</summary>{_facts(signals)}"
    return (
        f"<section><h2>The event</h2>{_facts(event_facts(trace.event))}"
        f"{more + '</details>' if signals else ''}</section>"
    )


def _passage(passage: Passage, costs: Mapping[str, float]) -> str:
    stages = "".join(_stage(line) for line in stage_lines(passage, costs))
    head = "<li class=head><b>stage</b><span>score</span><span>expects</span>"
    return (
        f"<section><h2>{escape(title(passage))}</h2><ol>{head}{stages}</ol>"
        f"{_facts(passage_facts(passage))}</section>"
    )


def _stage(line: StageLine) -> str:
    score = "" if line.score is None else f"{line.score:.4f}"
    cost = "" if line.milliseconds is None else f"{line.milliseconds:g} ms"
    shown = f"<b>{escape(line.name)}</b><span>{score}</span><span>{cost}</span>"
    if not line.ran:
        return f"<li class=skipped>{shown}<em>skipped: {escape(line.why_skipped)}</em>"
    if line.score is None:
        return f"<li>{shown}"
    kind = " class=bad" if line.score >= 0.5 else ""
    return f"<li>{shown}<i><u{kind} style='width:{line.score:.1%}'></u></i>"


def _levels(name: str, kinds: Levels) -> str:
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) for row in level_rows(kinds)
    )
    return (
        f"<section><h2>{escape(name)}: the lowest score of each action</h2>"
        f"<div class=scroll><table>{rows}</table></div></section>"
    )


def _facts(facts: Facts) -> str:
    pairs = (f"<dt>{escape(name)}<dd>{escape(value)}" for name, value in facts)
    return f"<dl>{''.join(pairs)}</dl>"
