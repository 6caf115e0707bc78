"""The feature store: newest rows and folded state online, the same features replayed offline.

`base`, `states`, `freshness` and the stores import `data_contracts` only; `reading`, `opening`,
`offline` and `materialization` also the lake and enrichment.
"""
