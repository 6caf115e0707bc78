"""`python -m evaluation drift`: does a day look like the days before it?

The one door to Evidently. Texts are compared by columns derived from them, by the size of the
difference and not by its p-value, since on many rows every difference is significant:
Wasserstein distance in standard deviations for numbers, Jensen-Shannon distance for categories.
"""

from __future__ import annotations

import argparse
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from data_contracts.config import Monitoring, Settings
from data_contracts.files import write_atomically
from pipelines import lake
from pipelines.days import days_to_do

NUMBERS = (
    "text_characters", "digit_share", "uppercase_share", "sign_share", "non_ascii_share", "links",
)  # fmt: skip
CATEGORIES = ("language", "source")
SCORE = "score"
DISTANCE_THRESHOLD = 0.1  # Evidently's own default for both distances
MINIMUM_ROWS = 50
_LINK = re.compile(r"https?://|www\.|\b[\w-]+\.(?:com|net|org|info|ly|me|co)\b", re.IGNORECASE)


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Write `{home}/reports/drift/{day}.json` and `.html` for each day; drift is data."""
    folder = settings.reports / "drift"
    known = lake.days(settings.lake, "events")
    days = days_to_do(
        arguments.day, known, lambda day: (folder / f"{day}.json").is_file(), where="the lake"
    )
    found = [_drift_of(day, known, settings.lake, folder, settings.monitoring) for day in days]
    last = found[-1]
    return {
        "days": days,
        "drifted_share": last["drifted_share"],
        "drifted_columns": last["drifted_columns"],
        "alarms": [record["day"] for record in found if record["alarm"]],
        "report": last["html"] or str(folder / f"{days[-1]}.json"),
    }


def latest_drift(reports: Path) -> dict[str, Any] | None:
    """The report of the latest day that has one."""
    paths = sorted((reports / "drift").glob("*.json"))
    return orjson.loads(paths[-1].read_bytes()) if paths else None


def _drift_of(
    day: str, known: Sequence[str], lake_folder: Path, folder: Path, monitoring: Monitoring
) -> dict[str, Any]:
    before = [other for other in known if other < day][-monitoring.reference_days :]
    current, reference = described(lake_folder, [day]), described(lake_folder, before)
    record: dict[str, Any] = {
        "day": day, "reference_days": before, "rows": len(current),
        "reference_rows": len(reference), "columns": {}, "drifted_columns": [],
        "drifted_share": None, "alarm": False, "verdict": "not_enough_evidence", "html": None,
    }  # fmt: skip
    if min(len(current), len(reference)) >= MINIMUM_ROWS:
        html = folder / f"{day}.html"
        maximum = monitoring.maximum_drifted_share
        record |= _judged(compared(current, reference, html, maximum), maximum)
        record["html"] = str(html)
    write_atomically(folder / f"{day}.json", orjson.dumps(record, option=orjson.OPT_INDENT_2))
    return record


def described(lake_folder: Path, days: Sequence[str]) -> pd.DataFrame:
    """One row an event of these days: the derived columns, and the score where one is known."""
    events = lake.read(lake_folder, "events", days)
    verdicts = lake.read(lake_folder, "verdicts", days).select(["event_id", "score"])
    scores = dict(zip(*(column.to_pylist() for column in verdicts.columns), strict=True))
    frame = pd.DataFrame([_columns(text) for text in events["text"].to_pylist()], columns=NUMBERS)
    frame["language"] = [tag or "und" for tag in events["language"].to_pylist()]
    frame["source"] = events["source"].to_pylist()
    frame[SCORE] = [scores.get(event) for event in events["event_id"].to_pylist()]
    return frame.astype(
        {**dict.fromkeys((*NUMBERS, SCORE), float), **dict.fromkeys(CATEGORIES, str)}
    )


def compared(
    current: pd.DataFrame, reference: pd.DataFrame, html: Path, maximum_share: float
) -> dict[str, float]:
    """Distance by column, from Evidently's preset; its report goes to `html`.

    The score takes part when both sides have enough of it.
    """
    numbers = list(NUMBERS)
    if min(current[SCORE].count(), reference[SCORE].count()) >= MINIMUM_ROWS:
        numbers.append(SCORE)
    columns = [*numbers, *CATEGORIES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("evidently").setLevel(logging.ERROR)
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        definition = DataDefinition(numerical_columns=numbers, categorical_columns=list(CATEGORIES))
        preset = DataDriftPreset(
            columns=columns, drift_share=maximum_share,
            num_method="wasserstein", num_threshold=DISTANCE_THRESHOLD,
            cat_method="jensenshannon", cat_threshold=DISTANCE_THRESHOLD,
        )  # fmt: skip
        snapshot = Report([preset]).run(
            Dataset.from_pandas(current[columns], data_definition=definition),
            Dataset.from_pandas(reference[columns], data_definition=definition),
        )
        write_atomically(html, snapshot.get_html_str(as_iframe=False).encode())
        return _distances(snapshot.dict())


def _distances(result: Mapping[str, Any]) -> dict[str, float]:
    return {
        metric["config"]["column"]: float(metric["value"])
        for metric in result["metrics"]
        if "column" in metric["config"]
    }


def _judged(distances: Mapping[str, float], maximum_share: float) -> dict[str, Any]:
    drifted = [name for name, distance in distances.items() if distance >= DISTANCE_THRESHOLD]
    share = len(drifted) / len(distances)
    return {
        "columns": dict(distances),
        "drifted_columns": drifted,
        "drifted_share": share,
        "alarm": share > maximum_share,
        "verdict": "drift" if drifted else "no drift",
    }


def _columns(text: str) -> tuple[float, ...]:
    """The NUMBERS of one text; shares are of its characters, 0 for an empty text.

    >>> _columns("WIN 10 at a.com")
    (15.0, 0.13333333333333333, 0.2, 0.06666666666666667, 0.0, 1.0)
    """
    length = max(len(text), 1)
    return (
        float(len(text)),
        sum(map(str.isdigit, text)) / length,
        sum(map(str.isupper, text)) / length,
        sum(not (letter.isalnum() or letter.isspace()) for letter in text) / length,
        0.0 if text.isascii() else sum(ord(letter) > 127 for letter in text) / length,
        float(len(_LINK.findall(text))),
    )
