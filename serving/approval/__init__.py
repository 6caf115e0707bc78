"""From a reviewer's click in MLflow to the start, or the end, of a rollout.

It hears of approvals by webhook and asks for what a webhook lost; what counts as an approval only
`training.approval` says.
"""
