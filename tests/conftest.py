"""Fixtures that every test may use, and how tests are spread over workers."""

import os
import sys

from tests.browser import browser
from tests.kubernetes_server import api_server_environment, empty_api_server
from tests.postgresql import postgres_server, postgres_url, state_url
from tests.side_by_side import pytest_collection_modifyitems, pytest_xdist_make_scheduler

__all__ = [
    "api_server_environment",
    "browser",
    "empty_api_server",
    "postgres_server",
    "postgres_url",
    "pytest_collection_modifyitems",
    "pytest_xdist_make_scheduler",
    "state_url",
]

# pyspark takes a process whose main module has no file for a run of its own doctests, and ends it;
# a worker of pytest-xdist is such a process. An interactive one is let alone.
if "PYTEST_XDIST_WORKER" in os.environ:
    sys.ps1 = ""

collect_ignore = ["dags/airflow_probe.py"]  # runs in Airflow's environment only
