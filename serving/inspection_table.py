"""A trace as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from serving.event_trace import Passage, Trace
from serving.inspection_view import (
    Facts,
    Levels,
    StageLine,
    event_facts,
    headline,
    level_rows,
    passage_facts,
    stage_lines,
    title,
)

HEADS = ("stage", "", "score", "expects", "why skipped")


def as_text(
    trace: Trace, costs: Mapping[str, float], levels: Mapping[str, Levels] | None = None
) -> str:
    """`costs` expected milliseconds by stage; `levels` thresholds by kind, by name of a policy."""
    lines = [f"{trace.event_id}: {headline(trace)}"]
    lines += _facts(event_facts(trace.event)) if trace.event else ["  its content is not at hand"]
    for passage in trace.passages:
        lines += ["", *_passage(passage, costs)]
    for name, kinds in (levels or {}).items():
        lines += ["", *_levels(name, kinds)]
    return "\n".join(map(_plain, lines)) + "\n"


def _passage(passage: Passage, costs: Mapping[str, float]) -> Iterator[str]:
    yield title(passage)
    yield from _aligned([HEADS, *map(_row, stage_lines(passage, costs))])
    yield from _facts(passage_facts(passage))


def _row(line: StageLine) -> tuple[str, ...]:
    score = "" if line.score is None else f"{line.score:.6f}"
    cost = "" if line.milliseconds is None else f"{line.milliseconds:g} ms"
    return (line.name, "ran" if line.ran else "skipped", score, cost, line.why_skipped)


def _levels(name: str, kinds: Levels) -> Iterator[str]:
    yield f"{name}: the lowest score of each action, by kind of event"
    yield from _aligned(level_rows(kinds))


def _facts(facts: Facts) -> Iterator[str]:
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        first, *rest = value.splitlines() or [""]
        yield f"  {name:<{width}}  {first}"
        yield from (f"  {'':<{width}}  {line}" for line in rest)


def _plain(text: str) -> str:
    """Without control characters: what a user wrote must not steer a terminal."""
    return "".join(one if one.isprintable() else "�" for one in text)


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        yield ("  " + "  ".join(cells)).rstrip()
