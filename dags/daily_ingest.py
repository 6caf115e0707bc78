"""**A day's events into the lake**, checked and versioned.

ingest → validate → version, and beside it the drift report. A critical check that fails stops
the day here: sampling starts only when `weir_lake_events` is renewed.
To load one day again, trigger with that day; the same input gives the same files.
"""

from airflow.sdk import DAG
from platform_step import DAG_DEFAULTS, PlatformStep, form, schedule_of

with DAG(
    dag_id="daily_ingest",
    description="Landed events and verdicts into the lake: checked, versioned, watched for drift",
    schedule=schedule_of("daily_ingest"),
    params=form("day"),
    tags=["weir", "data"],
    doc_md=__doc__,
    **DAG_DEFAULTS,
):
    validate = PlatformStep(step="validate")
    (
        PlatformStep(step="ingest")
        >> validate
        >> [PlatformStep(step="version"), PlatformStep(step="drift")]
    )
