"""The whole platform on one machine: preflight, start, stop, and the unattended main job.

Imports `data_contracts` only: every service is a process with a command line.
"""
