"""Where a rollout acts: one protocol, `TrafficTarget`, and its implementations.

May import data_contracts only; the controller cannot tell which target it drives.
"""
