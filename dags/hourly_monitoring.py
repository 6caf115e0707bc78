"""**The last hour of decisions**: counts, action rates, errors, latency, drift, quality.

One step. Its report is a page under `reports/`; an alarm in it is data, not a failed task.
"""

from airflow.sdk import DAG
from platform_step import DAG_DEFAULTS, PlatformStep, schedule_of

with DAG(
    dag_id="hourly_monitoring",
    description="Report on the last window of decisions",
    schedule=schedule_of("hourly_monitoring"),
    tags=["weir", "monitoring"],
    doc_md=__doc__,
    **DAG_DEFAULTS,
):
    PlatformStep(step="monitor")
