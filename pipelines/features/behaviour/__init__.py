"""Accounts and devices: age, rhythm, graph, engagement, as of the event's time.

Imports `data_contracts`, the other packages of `pipelines.features`, and the protocol of
`pipelines.feature_store.states`.
"""
