"""`python -m evaluation drift`: does a day look like the days before it?

`accept-drift` says that it need not: the change is known and here to stay.

What drifted is judged from histograms that the lake's engine counts (`monitoring.drift`), for any
number of rows. Evidently, whose one door this is, draws a page for people from a bounded sample.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from data_contracts.alerts import Alert
from data_contracts.config import Settings
from data_contracts.errors import BadInput
from data_contracts.files import write_atomically
from evaluation.monitoring.drift.alerts import embedding_alert, feature_alerts
from evaluation.monitoring.drift.columns import CATEGORIES, NUMBERS
from evaluation.monitoring.drift.embeddings import EmbeddingDrift
from evaluation.monitoring.drift.histograms import SCORE
from evaluation.monitoring.drift.judging import FeatureDrift
from evaluation.monitoring.drift.lake_drift import LakeDrift
from evaluation.monitoring.drift.reference import DRIFTED, accept, day_report
from evaluation.monitoring.evidently_workspace import DRIFT, add_snapshot
from evaluation.monitoring.raised import attempted, hand_over
from pipelines import lake
from pipelines.days import days_to_do
from pipelines.tables import Backend

MINIMUM_ROWS = 50
HOLDS = timedelta(days=2)


def run(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Write `{home}/reports/drift/{day}.json` and `.html` for each day; drift is data.

    The alerts of the last day go to incident response.
    """
    folder, now = settings.reports / "drift", datetime.now(UTC)
    known = lake.days(settings.lake, "events")
    days = days_to_do(
        arguments.day, known, lambda day: (folder / f"{day}.json").is_file(), where="the lake"
    )
    watch = LakeDrift(
        settings.lake, folder, folder / "histograms", settings.cache / "drift",
        settings.monitoring.drift,
    )  # fmt: skip
    with watch.opened() as backend:
        found = [_drift_of(day, known, watch, backend, folder, settings, now) for day in days]
    last = found[-1]
    hand_over(settings.state_url, alerts_that_hold(last, now), [], now)
    return {
        "days": days,
        "drifted_share": last["drifted_share"],
        "drifted_columns": last["drifted_columns"],
        "alarms": [record["day"] for record in found if record["alarm"]],
        "report": last["html"] or str(folder / f"{days[-1]}.json"),
    }


def run_accept(arguments: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """A person knows the change: days count from this one on, and its alerts are over."""
    if not arguments.by or not arguments.reason:
        raise BadInput(
            "accept-drift needs --by NAME and --reason TEXT: who knows the change, and it"
        )
    days = accept(settings.reports / "drift", arguments.day, arguments.by, arguments.reason)
    newest = latest_drift(settings.reports) or {"alerts": []}
    ended = [Alert.from_record(one).fingerprint for one in newest["alerts"]]
    hand_over(settings.state_url, [], ended, datetime.now(UTC))
    return {"since": arguments.day, "days": days, "alerts_over": len(ended)}


def alerts_that_hold(drift: Mapping[str, Any], now: datetime) -> list[Alert]:
    """Those of a day's report, until the next day's or a person's word; two days at most, for a
    lake that takes nothing in is another trouble."""
    alerts = [] if drift.get("accepted") else map(Alert.from_record, drift["alerts"])
    return [one for one in alerts if now - one.at <= HOLDS]


def latest_drift(reports: Path) -> dict[str, Any] | None:
    """The report of the latest day that has one."""
    paths = sorted((reports / "drift").glob("*.json"))
    return orjson.loads(paths[-1].read_bytes()) if paths else None


def _drift_of(
    day: str,
    known: Sequence[str],
    watch: LakeDrift,
    backend: Backend,
    folder: Path,
    settings: Settings,
    now: datetime,
) -> dict[str, Any]:
    before = watch.reference(day, known)
    accepted = (day_report(folder, day) or {}).get("accepted")
    record: dict[str, Any] = {
        "day": day, "accepted": accepted, "reference_days": before, "columns": {}, "features": [],
        "embeddings": None, "drifted_columns": [], "drifted_share": None, "alarm": False,
        "alerts": [], "verdict": "not_enough_evidence", "html": None,
    }  # fmt: skip
    rows = [watch.rows(days) for days in ([day], before)]
    record |= {"rows": rows[0], "reference_rows": rows[1]}
    features = watch.features(backend, day, before) if min(rows) >= MINIMUM_ROWS else []
    if features:
        embeddings = watch.embeddings(backend, day)
        maximum = settings.monitoring.maximum_drifted_share
        record |= _judged(features, embeddings, day, maximum, now)
        html = folder / f"{day}.html"
        snapshot = draw_page(
            watch.frame(backend, [day]), watch.frame(backend, before), html, maximum, day
        )
        keep = partial(add_snapshot, settings.home, DRIFT, snapshot, settings.evidently.kept_runs)
        attempted("Evidently's workspace", keep, [])
        record["html"] = str(html)
    write_atomically(folder / f"{day}.json", orjson.dumps(record, option=orjson.OPT_INDENT_2))
    return record


def _judged(
    features: Sequence[FeatureDrift],
    embeddings: EmbeddingDrift | None,
    day: str,
    maximum_share: float,
    now: datetime,
) -> dict[str, Any]:
    """An alarm is drift that surely matters, or, where no verdict says so, much of it."""
    drifted = [one for one in features if one.drifted]
    share = len(drifted) / len(features)
    alerts = feature_alerts(features, day, now)
    of_embeddings = embedding_alert(embeddings, now) if embeddings else None
    alerts += [of_embeddings] if of_embeddings else []
    unknown = all(one.effect is None for one in features)
    return {
        "columns": {one.feature: one.jensen_shannon for one in features},
        "features": [one.as_record() for one in features],
        "embeddings": asdict(embeddings) if embeddings else None,
        "drifted_columns": [one.feature for one in drifted],
        "drifted_share": share,
        "alarm": any(one.severity_hint == "ticket" for one in alerts)
        or (unknown and share > maximum_share),
        "alerts": [one.as_record() for one in alerts],
        "verdict": DRIFTED if drifted else "no drift",
    }


def draw_page(
    current: pd.DataFrame, reference: pd.DataFrame, html: Path, maximum_share: float, day: str
) -> Any:
    """Evidently's drift report of two samples; the score takes part where both have enough.

    Returns Evidently's snapshot, as of the `day`.
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
            num_method="wasserstein", cat_method="jensenshannon",
        )  # fmt: skip
        snapshot = Report([preset]).run(
            Dataset.from_pandas(current[columns], data_definition=definition),
            Dataset.from_pandas(reference[columns], data_definition=definition),
            timestamp=datetime.fromisoformat(day),
        )
        write_atomically(html, snapshot.get_html_str(as_iframe=False).encode())
        return snapshot
