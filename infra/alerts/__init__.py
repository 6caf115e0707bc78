"""What wakes somebody, and how it reaches them: Prometheus' rules, Alertmanager's routes, runbook.

The YAML files here are Prometheus' rule files, all of them; `slo` writes one of them. Imports
`data_contracts` only.
"""
