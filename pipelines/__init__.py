"""Data in motion: the lake, features, sampling, labels, streams and perturbations.

May import `data_contracts` only; what needs a model takes a protocol (`Scorer`) instead.
"""
