"""Images: what they show, what they say, and whether they are known.

Imports `data_contracts` and the other packages of `pipelines.features` only.
"""
