"""Fixtures that every test may use."""

from tests.postgresql import postgres_server, postgres_url, state_url

__all__ = ["postgres_server", "postgres_url", "state_url"]
