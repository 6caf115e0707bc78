"""**A candidate from new labels**, judged by three gates.

train → register → golden, adversarial and fairness gate → model card → promote, whenever
`weir_labels` is renewed. Too few new labels: everything is skipped. A gate that says no is data:
`promote` records it, is shown as skipped, and no rollout starts. All gates passed: the version
becomes `challenger` and `weir_challenger` is renewed. Beside it the configured encoder is
quantised.
"""

from airflow.sdk import DAG
from platform_step import DAG_DEFAULTS, PlatformStep, asset, form

with DAG(
    dag_id="daily_retraining",
    description="Train a candidate, register it with its lineage, gate it, make it challenger",
    schedule=asset("weir_labels"),
    params=form("trials"),
    tags=["weir", "model"],
    doc_md=__doc__,
    **DAG_DEFAULTS,
):
    PlatformStep(step="quantise")
    trained = PlatformStep(step="train").output
    registered = PlatformStep(
        step="register", values={"model": trained["model"], "run_id": trained["run_id"]}
    ).output
    gates = [
        PlatformStep(step=gate, values={"model": registered["uri"]}).output
        for gate in ("gate_golden", "gate_adversarial", "gate_fairness")
    ]
    reports = [gate["report"] for gate in gates]
    card = PlatformStep(
        step="model_card", values={"model": registered["uri"], "gate": reports}
    ).output
    PlatformStep(
        step="promote",
        values={"version": registered["version"], "gate": reports, "card": card["card"]},
    )
