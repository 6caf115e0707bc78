"""What a person sees while the local stack works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

_console = Console(highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """One line, as it is."""
    _console.print(message, markup=False)


def say_addresses(title: str, rows: Mapping[str, str]) -> None:
    """Names and addresses, one a line, easy to copy."""
    say(f"\n{title}")
    width = max(map(len, rows))
    for name, value in rows.items():
        say(f"  {name:<{width}}  {value}")


def say_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    _console.print(table)
