"""Fixtures that every test may use."""

from tests.postgresql import postgres_server, postgres_url, state_url

__all__ = ["postgres_server", "postgres_url", "state_url"]

collect_ignore = ["dags/airflow_probe.py"]  # runs in Airflow's environment only
