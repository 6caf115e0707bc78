"""The objectives, as data, and the rules that follow from them.

`slo.yaml` is read, `infra/alerts/objectives.yaml` is written. Imports `data_contracts` only.
"""
