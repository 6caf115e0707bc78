"""`python -m serving rollout status --watch`: a rollout in the terminal, as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from serving.rollout.story import Record, Span, Story

BAR_CHARACTERS = 40
INTERVAL_CHARACTERS = 24
ARM_STYLES = {"stable": "green", "baseline": "cyan", "canary": "yellow"}
VERDICT_STYLES = {"pass": "green", "fail": "bold red", "not_enough_evidence": "yellow"}
COMMANDS = "pause · resume · promote · abort:  python -m serving rollout ACTION"


def follow(
    tell: Callable[[], Story | None], pause_seconds: float, console: Console | None = None
) -> Story | None:
    """Show the story anew until its rollout has ended; the last one told."""
    with Live(console=console or Console(), refresh_per_second=4, transient=False) as live:
        while True:
            story = tell()
            live.update(Text("no rollout yet; waiting") if story is None else picture(story))
            if story is not None and not story.rollout.active:
                return story
            time.sleep(pause_seconds)


def picture(story: Story) -> RenderableType:
    """One screen: where it is, who answers, what was measured, how it came here."""
    parts: list[RenderableType] = [
        Text(story.headline, style="bold"),
        _standing(story),
        _shares(story),
    ]
    if story.latest is not None:
        parts.append(_metrics(story.latest))
    parts.append(_phases(story.spans))
    if story.rollout.active:
        parts.append(Text(COMMANDS, style="dim"))
    return Panel(Group(*parts), title="rollout", border_style="dim")


def _standing(story: Story) -> Text:
    """Why it ended; until then, who acts and what was asked for."""
    if not story.rollout.active:
        return Text(story.rollout.reason)
    if story.leader is None:
        return Text("no controller is running: python -m serving controller", style="bold red")
    request = f"; {story.rollout.request} was asked for" if story.rollout.request else ""
    restarts = story.rollout.restarts
    again = f"; its server was restarted {restarts}×" if restarts else ""
    return Text(f"controller: process {story.leader.pid} on {story.leader.machine}{request}{again}",
                style="dim")  # fmt: skip


def _shares(story: Story) -> Text:
    """Who answers, as one bar; copies are said beside it."""
    bar = Text()
    for arm, share in story.shares.items():
        bar.append("█" * round(share * BAR_CHARACTERS / 100), ARM_STYLES[arm])
    for arm, share in story.shares.items():
        bar.append(f"  {arm} {share} %", ARM_STYLES[arm])
    step = story.rollout.current_step
    if step is not None and step.phase == "shadow":
        bar.append("  copies of all requests to the candidate", "dim")
    return bar


def _metrics(record: Record) -> Table:
    where = f"{record['phase']} {record['weight']} %" if record["weight"] else record["phase"]
    title = f"the judge on {where}: {record['requests']:,} requests, {record['errors']} errors"
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    for column in ("metric", "candidate", "reference", "harm", "within", "verdict"):
        table.add_column(column)
    for one in record["measurements"]:
        verdict = one["verdict"]
        table.add_row(
            Text(one["metric"]), _value(one["canary"], "–"), _value(one["reference"], "–"),
            _interval(one), _strip(one), Text(verdict.replace("_", " "), VERDICT_STYLES[verdict]),
        )  # fmt: skip
    return table


def _interval(one: Record) -> str:
    if one["estimate"] is None:
        return "not measured"
    low, high = _value(one["low"], "-∞"), _value(one["high"], "∞")
    return f"{one['estimate']:.3g} \\[{low}, {high}]"


def _strip(one: Record) -> Text:
    """The interval between no harm (left third) and the margin (right third), as a strip."""
    end = one.get("margin") or one["bound"]
    if one["estimate"] is None or not end:
        return Text("")
    start = 1.0 if end > 1 else 0.0  # ratios begin at one
    width = end - start

    def at(value: float | None, open_end: float) -> int:
        share = open_end if value is None else (value - start) / width
        third = INTERVAL_CHARACTERS / 3
        return int(min(max(third + share * third, 0), INTERVAL_CHARACTERS - 1))

    low, high = at(one["low"], -1.0), at(one["high"], 2.0)
    strip = Text(style=VERDICT_STYLES[one["verdict"]])
    for place in range(INTERVAL_CHARACTERS):
        mark = place in (INTERVAL_CHARACTERS // 3, 2 * INTERVAL_CHARACTERS // 3)
        inside = low <= place <= high
        strip.append("━" if inside and not mark else "┿" if inside else "│" if mark else "·",
                     None if inside else "dim")  # fmt: skip
    return strip


def _phases(spans: tuple[Span, ...]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("phase", "since", "for", "requests", "verdict", "why"):
        table.add_column(column, no_wrap=column != "why")
    for span in spans:
        table.add_row(
            span.name, f"{span.start.astimezone():%H:%M:%S}", _duration(span.seconds),
            f"{span.requests:,}" if span.requests else "", span.verdict.replace("_", " "),
            Text(span.reason),
        )  # fmt: skip
    return table


def _duration(seconds: float) -> str:
    """
    >>> _duration(4), _duration(75), _duration(7300)
    ('4 s', '1 min 15 s', '2 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _value(value: float | None, absent: str) -> str:
    """
    >>> _value(0.01234, "–"), _value(None, "∞")
    ('0.0123', '∞')
    """
    return absent if value is None else f"{value:.3g}"
