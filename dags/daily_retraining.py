"""**A candidate from new labels**, judged by three gates.

train → register → golden, adversarial and fairness gate → model card → promote, whenever
`weir_labels` is renewed. Too few new labels: everything is skipped. A gate that says no is data:
`promote` records it, is shown as skipped, and no rollout starts. All gates passed: the version
becomes `challenger` and `weir_challenger` is renewed. Beside it the configured encoder is
quantised. Order and values stand in `data_contracts/steps.yaml`, `flows.daily_retraining`, which
the Kubeflow pipeline is compiled from, too.
"""

from airflow.sdk import DAG
from platform_step import DAG_DEFAULTS, asset, described, flow

with DAG(
    dag_id="daily_retraining",
    schedule=asset("weir_labels"),
    tags=["weir", "model"],
    doc_md=__doc__,
    **described("daily_retraining"),
    **DAG_DEFAULTS,
):
    flow("daily_retraining")
