"""Videos: sampled frames, their sequence, and near-duplicates.

Imports `data_contracts` and the other packages of `pipelines.features` only.
"""
