"""Incidents: alerts become incidents, playbooks mitigate them, people are called, all is written.

May import data_contracts, pipelines and training; deciding (`triage`, `playbooks`, `escalation`,
`decisions`) is pure and knows neither a clock nor a database.
"""
