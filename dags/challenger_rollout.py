"""**A challenger to full traffic**, after a person approved it.

await_approval → rollout_start → rollout_watch, whenever `weir_challenger` is renewed. The
controller deploys and judges (shadow, canary, full) and rolls back by itself; this DAG starts it
and watches. Approve in MLflow: set the model version's tag `weir.approval` to `approved`.
To roll out another version, trigger with its number.
"""

from airflow.sdk import DAG
from platform_step import DAG_DEFAULTS, PlatformSensor, PlatformStep, asset, form

with DAG(
    dag_id="challenger_rollout",
    description="Wait for a reviewer's approval, then shadow, canary and full",
    schedule=asset("weir_challenger"),
    params=form("version"),
    tags=["weir", "rollout"],
    doc_md=__doc__,
    **DAG_DEFAULTS,
):
    approved = PlatformSensor(step="await_approval").output
    start = PlatformStep(step="rollout_start", values={"version": approved["version"]})
    start >> PlatformStep(step="rollout_watch", values={"version": approved["version"]})
