"""The sample report as one small page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pipelines.labelling.sample_pictures import pictures

STYLE = """
:root{color-scheme:light dark;--line:#d9dce1;--soft:#f5f6f8;--bar:#0b6e4f}
@media(prefers-color-scheme:dark){:root{--line:#3c4043;--soft:#26282c;--bar:#5bc49b}}
body{font:15px/1.5 system-ui,sans-serif;max-width:66rem;margin:0 auto;padding:1rem}
h1{font-size:1.35rem;margin:.2rem 0}h2{font-size:1.05rem;margin:1.7rem 0 .4rem}
p.about{margin:0;opacity:.75}small,.about{font-size:.87rem}
ul.gaps{border-left:4px solid #b26a00;background:var(--soft);padding:.6rem 1rem .6rem 2rem;
overflow-wrap:anywhere}
dl{display:flex;flex-wrap:wrap;gap:.6rem 1.8rem;margin:.8rem 0}dt{opacity:.75;font-size:.85rem}
dd{margin:0;font-size:1.5rem;font-variant-numeric:tabular-nums}dd small{opacity:.75}
div.scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.35rem .9rem .35rem 0;border-bottom:1px solid var(--line)}
th,td{white-space:nowrap;vertical-align:top}
th:first-child,td:first-child,th.why,td.why{text-align:left}
td.why{white-space:normal;min-width:17rem;font-size:.87rem}
td:first-child{white-space:normal;min-width:6.5rem}
td i{display:block;height:.35rem;background:var(--bar);border-radius:2px;margin-top:.25rem}
div.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));
gap:1rem;margin-top:1.4rem}
figure{margin:0;background:#fff;border:1px solid var(--line);border-radius:8px;padding:.6rem;
color:#3c4043}figure svg{width:100%;height:auto;display:block}
"""
CAPTIONS = {
    "learning": "Logistic regression on frozen embeddings, judged on the audit only, never on a "
    "campaign it was taught. It is not the model that serves.",
    "worth": "Positive: the arm's labels lowered the loss on the audit.",
    "scores": "Of the events at each score, the part that each arm chose.",
    "languages": "The pool's languages beside those of each arm's events.",
    "campaigns": "A campaign: events of one language whose embeddings share a key.",
}


def page(report: Mapping[str, Any]) -> str:
    """HTML of `pipelines.labelling.sample_report.report`."""
    tasks, pool = report["tasks"], report["pool"]
    drawn = pictures(report)
    figures = "".join(f"<figure>{svg}{_caption(name)}</figure>" for name, svg in drawn.items())
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Weir: sample of {escape(report['day'])}</title><style>{STYLE}</style>",
        f"<h1>What people are asked about {escape(report['day'])}</h1>",
        f"<p class=about>{tasks['events']:,} of {pool['events']:,} events, "
        f"{tasks['asked_twice']:,} of them by two people; {tasks['gold_questions']:,} gold "
        "questions come on top.",
        _gaps(report["gaps"]),
        _figures(report),
        "<h2>Which arm chose what, why, and what it cost before</h2>", _arms(report["arms"]),
        f"<div class=pictures>{figures}</div>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _gaps(gaps: Sequence[str]) -> str:
    if not gaps:
        return ""
    return "<ul class=gaps>" + "".join(f"<li>{escape(gap)}" for gap in gaps) + "</ul>"


def _figures(report: Mapping[str, Any]) -> str:
    drift, alike = report["drift"], report["near_duplicates"]
    index = drift["population_stability_index"]
    labels = sum(arm["reviews"] for arm in report["arms"])
    figures = [
        (
            "drift (population stability index)",
            "–" if index is None else f"{index:.2f}",
        ),
        ("half-life of recency", f"{drift['half_life_hours']:g} h"),
        ("near-duplicates that wait", "–" if alike is None else f"{alike['waiting']:,}"),
        ("repeats among tasks", "–" if alike is None else f"{alike['repeats']:,}"),
        ("reviews so far", f"{labels:,}"),
    ]
    return "<dl>" + "".join(f"<div><dt>{n}<dd>{v}</div>" for n, v in figures) + "</dl>"


def _arms(arms: Sequence[Mapping[str, Any]]) -> str:
    heads = ("arm", "share", "events", "reviews so far", "spam a review", "seconds")
    head = "".join(f"<th>{name}" for name in heads) + "<th class=why>why"
    return f"<div class=scroll><table><tr>{head}{''.join(map(_arm, arms))}</table></div>"


def _arm(arm: Mapping[str, Any]) -> str:
    parts = ", ".join(f"{name.partition('/')[2]} {n}" for name, n in arm["parts"].items())
    name = escape(arm["arm"].replace("_", " ")) + (
        f"<br><small>{escape(parts)}</small>" * bool(parts)
    )
    bar = f"<i style='width:{arm['share'] * 6:.2f}rem'></i>"
    spam, seconds = arm["spam_a_review"], arm["median_seconds"]
    cells = (
        name,
        f"{arm['share']:.0%}{bar}",
        f"{arm['chosen']:,}",
        f"{arm['reviews']:,}",
        "–" if spam is None else f"{spam:.0%}",
        "–" if seconds is None else f"{seconds:g}",
    )
    said = "".join(f"<td>{cell}" for cell in cells)
    return f"<tr>{said}<td class=why>{escape(arm['reason'])}"


def _caption(name: str) -> str:
    return f"<figcaption><small>{CAPTIONS[name]}</small></figcaption>"
