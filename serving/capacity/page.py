"""The plan as one page that needs nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from evaluation.monitoring.page import STYLE
from serving.capacity.picture import latency_picture, pods_picture
from serving.capacity.planning import CapacityPlan
from serving.capacity.report import (
    KIND_COLUMNS,
    LOSS_COLUMNS,
    POOL_COLUMNS,
    SIMULATED,
    Rows,
    basis,
    headline,
    kind_rows,
    loss_rows,
    loss_title,
    pool_rows,
)

LATENCY_CAPTION = (
    "Latency against load with the least pods, simulated; bands are 95 % intervals over "
    "replications. In the shaded part queues grow without end once a zone is lost."
)
PODS_CAPTION = (
    "Pods against load. Dots are the plans that were simulated as they are; lines follow from the "
    "rate that one pod sustains."
)
PICTURES = """
p.note{border-left:4px solid #b26a00;background:var(--soft);padding:.6rem 1rem}
figure{margin:.8rem 0;overflow-x:auto;background:#fff;color:#202124;padding:.5rem;border-radius:4px}
figure svg{max-width:100%;height:auto;min-width:34rem}
figcaption{font-size:.85rem;color:#5f6368}
"""


def page(plan: CapacityPlan) -> str:
    """HTML with both pictures drawn in it."""
    losses = loss_rows(plan)
    return "\n".join([
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width,initial-scale=1'>",
        f"<title>Weir: capacity plan</title><style>{STYLE}{PICTURES}</style>",
        f"<h1>{escape(headline(plan))}</h1>",
        f"<p class=note>{escape(SIMULATED)}",
        "<h2>The least pods, with every zone</h2>", _table(POOL_COLUMNS, pool_rows(plan)),
        "<p>Times in milliseconds, from the gateway and back; for stages afterwards, from the "
        "verdict to its revision.",
        _figure(latency_picture(plan), LATENCY_CAPTION), _figure(pods_picture(plan), PODS_CAPTION),
        f"<h2>{escape(loss_title(plan))}</h2>" + _table(LOSS_COLUMNS, losses) if losses else "",
        "<h2>By content, with every zone</h2>", _table(KIND_COLUMNS, kind_rows(plan)),
        "<h2>What this rests on</h2>",
        "<ul>" + "".join(f"<li>{escape(line)}" for line in basis(plan)) + "</ul>",
    ]) + "\n"  # fmt: skip


def _figure(svg: bytes, caption: str) -> str:
    drawing = svg[svg.index(b"<svg") :].decode()
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(columns: Sequence[str], rows: Rows) -> str:
    head = "".join(f"<th>{escape(column)}" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}" for cell in row) for row in rows)
    return f"<div class=scroll><table><tr>{head}{body}</table></div>"
