"""**What verdicts may know of the past**: new days of the lake, into the online feature store.

One step, whenever `weir_lake_events` is renewed. A day is folded once: a run over days that are
done is skipped. To fold a range, trigger with its first and last day.
"""

from airflow.sdk import DAG
from platform_step import DAG_DEFAULTS, PlatformStep, asset, form

with DAG(
    dag_id="daily_materialization",
    description="Fold the lake's new days into the online feature store",
    schedule=asset("weir_lake_events"),
    params=form("from_day", "to_day"),
    tags=["weir", "data"],
    doc_md=__doc__,
    **DAG_DEFAULTS,
):
    PlatformStep(step="materialize")
