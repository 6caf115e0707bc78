"""**A challenger to full traffic**, after a person approved it.

check_approval → rollout_start → rollout_watch. A reviewer approves in MLflow (the model version's
tag `weir.approval` set to `approved`); the approval receiver hears of it, checks it, and triggers
this DAG with `model` and `version`. The controller deploys and judges (shadow, canary, full) and
rolls back by itself, also when the approval is revoked; this DAG starts it and watches. To roll
out another approved version, trigger with its number.
"""

from airflow.sdk import DAG
from platform_step import DAG_DEFAULTS, PlatformStep, form

with DAG(
    dag_id="challenger_rollout",
    description="A version that a reviewer approved goes through shadow and canary to full",
    schedule=None,
    params=form("version"),
    tags=["weir", "rollout"],
    doc_md=__doc__,
    **DAG_DEFAULTS,
):
    approved = PlatformStep(step="check_approval").output
    start = PlatformStep(step="rollout_start", values={"version": approved["version"]})
    start >> PlatformStep(step="rollout_watch", values={"version": approved["version"]})
