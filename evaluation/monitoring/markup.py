"""Pieces of the monitoring page: text that is escaped, tables, figures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


class Markup(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


def share(estimate: Mapping[str, Any] | None) -> Markup:
    """A share with its interval, or how few cases there are."""
    if estimate is None:
        return Markup("–")
    if estimate["value"] is None:
        seen = f" <small>({estimate['of']} cases)</small>" if "of" in estimate else ""
        return Markup(f"–{seen}")
    interval = f"{estimate['low']:.1%} to {estimate['high']:.1%}"
    return Markup(f"{estimate['value']:.1%} <small>({interval})</small>")


def definitions(figures: Sequence[tuple[str, str]]) -> str:
    """Figures side by side, each under its name."""
    pairs = "".join(f"<div><dt>{escape(name)}<dd>{cell(said)}</div>" for name, said in figures)
    return f"<dl>{pairs}</dl>"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """The first `texts` columns are text, the others numbers, to the right."""
    if not rows:
        return "<p>Nothing yet."
    head = "".join(f"<th>{escape(name)}" for name in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell(one)}" for one in row) for row in rows)
    words = " class=words" if texts > 1 else ""
    return f"<div class=scroll><table{words}><tr>{head}{body}</table></div>"


def cell(text: str) -> str:
    """Escaped, unless it is markup already."""
    return text if isinstance(text, Markup) else escape(text)


def sentences(said: Sequence[str], name: str) -> str:
    """A list of the class `name`."""
    return f"<ul class={name}>" + "".join(f"<li>{escape(text)}" for text in said) + "</ul>"
