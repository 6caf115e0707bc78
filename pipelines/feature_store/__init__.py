"""The feature store: newest rows and folded state online, the same features replayed offline.

`base`, `states` and `lmdb` import `data_contracts` only; `offline` also the lake and enrichment.
"""
