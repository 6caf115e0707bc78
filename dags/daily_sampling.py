"""**What people should look at**, and the labels they gave.

sample → review → check_labels → collect_labels, whenever `weir_lake_events` is renewed. `review` is
the demo's oracle; it is skipped where people do the reviewing, and what they answered is checked
and collected all the same: batches of answers that disagree beyond chance go into quarantine and
never reach the lake. New labels renew `weir_labels`, which starts the retraining.
"""

from airflow.sdk import DAG, TriggerRule
from platform_step import DAG_DEFAULTS, PlatformStep, asset, form

with DAG(
    dag_id="daily_sampling",
    description="Choose events for review, and bring finished labels into the lake",
    schedule=asset("weir_lake_events"),
    params=form("day", "budget"),
    tags=["weir", "labels"],
    doc_md=__doc__,
    **DAG_DEFAULTS,
):
    # a day that was sampled before is skipped by `sample`, and may still have labels to collect
    review = PlatformStep(step="review", trigger_rule=TriggerRule.NONE_FAILED)
    check_labels = PlatformStep(step="check_labels", trigger_rule=TriggerRule.NONE_FAILED)
    collect_labels = PlatformStep(step="collect_labels", trigger_rule=TriggerRule.NONE_FAILED)
    PlatformStep(step="sample") >> review >> check_labels >> collect_labels
