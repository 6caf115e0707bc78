"""Accounts: age, rhythm, graph, engagement and devices, as of the event's time.

Imports `data_contracts` and the other packages of `pipelines.features` only.
"""
