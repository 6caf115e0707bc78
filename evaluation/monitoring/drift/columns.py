"""The columns of the lake that are watched, as one Ibis table of its days: never a frame.

Texts are watched by columns derived from them. The verdict of an event says whether the model
acts on it, and with what score.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import ibis
from ibis.expr.types import FloatingValue, StringValue

from data_contracts.tables import partition
from evaluation.monitoring.drift.counting import POSITIVE, is_positive
from evaluation.monitoring.drift.histograms import SCORE
from pipelines import lake
from pipelines.labelling.selection_features import audit_order
from pipelines.tables import Backend, parquet

NUMBERS = (
    "text_characters", "digit_share", "uppercase_share", "sign_share", "non_ascii_share", "links",
)  # fmt: skip
CATEGORIES = ("language", "source", "with_media")
# classes that RE2 (DuckDB) and Java (Spark) read alike
DIGIT, UPPERCASE, NON_ASCII = "[0-9]", r"\p{Lu}", r"[^\x00-\x7F]"
SIGN = r"[!-/:-@\[-`{-~]"
LINK = r"https?://|www\.|\b[\w-]+\.(?:com|net|org|info|ly|me|co)\b"


def described(backend: Backend, lake_folder: Path, days: Sequence[str]) -> ibis.Table:
    """`event_id`, NUMBERS, CATEGORIES, SCORE and POSITIVE: a row for each event of these days.

    A share is of the text's characters, 0 for an empty text. SCORE and POSITIVE are null where
    there is no verdict; the latest revision counts, and mirrored ones never do.
    """
    events = parquet(backend, _parts(lake_folder, "events", days))
    text = events.text
    columns = events.select(
        "event_id",
        "source",
        text_characters=text.length(),
        digit_share=_share(text, DIGIT),
        uppercase_share=_share(text, UPPERCASE),
        sign_share=_share(text, SIGN),
        non_ascii_share=_share(text, NON_ASCII),
        links=text.lower().re_split(LINK).length() - 1,
        language=events.language.fill_null("und"),
        with_media=(events.media != "[]").ifelse("yes", "no"),
    )
    parts = _parts(lake_folder, "verdicts", days)
    if not parts:
        unknown = {SCORE: ibis.null("float64"), POSITIVE: ibis.null("boolean")}
        return columns.mutate(**unknown)
    verdicts = parquet(backend, parts)
    latest = (
        verdicts.filter(~verdicts.mirrored)
        .group_by("event_id")
        .aggregate(
            score=verdicts.score.argmax(verdicts.revision),
            positive=is_positive(verdicts.action.argmax(verdicts.revision)),
        )
    )
    joined = columns.left_join(latest, "event_id")
    return joined.select(*columns.columns, SCORE, POSITIVE)


def embedded(backend: Backend, lake_folder: Path, day: str) -> ibis.Table:
    """`event_id, embedding, encoder` of a day that has features."""
    rows = parquet(backend, _parts(lake_folder, "features", [day]))
    return rows.select("event_id", "embedding", "encoder")


def drawn(table: ibis.Table, rows: int, seed: int) -> ibis.Table:
    """A uniform sample of at most so many rows: the lowest in an order that a hash makes."""
    ordered = table.mutate(drawn=audit_order(table.event_id, seed))
    return ordered.order_by("drawn", "event_id").limit(rows).drop("drawn")


def _share(text: StringValue, pattern: str) -> FloatingValue:
    found = text.length() - text.re_replace(pattern, "").length()
    return found / ibis.greatest(text.length(), 1)


def _parts(lake_folder: Path, table: str, days: Sequence[str]) -> list[Path]:
    parts = (partition(lake_folder, table, day) / lake.PART for day in days)
    return [part for part in parts if part.is_file()]
