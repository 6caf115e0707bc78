"""The loop's flows as Kubeflow pipelines: compiled from `data_contracts/steps.yaml`, run locally.

Imports `data_contracts` only. kfp lives in an environment of its own (`requirements.txt` here says
why) and has one door, `pipeline`, beside `local_run`, which runs what the door made.
"""
