"""Judges what training made and what serving did: metrics, gates, drift, monitoring.

May import training, pipelines and data_contracts; never serving, whose records it reads as files.
"""
