"""One API server for all tests of a session that need one: it takes longer to start than they run.

What the server is and is not: `tests/stand_ins/kserve_api_server.py`. It knows custom resources
only, so a module starts from nothing once every one of those is gone.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping

import pytest


@pytest.fixture(scope="session")
def api_server_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The environment in which kubectl speaks to the server. Skips, naming it, what is missing."""
    from tests.stand_ins.kserve_api_server import api_server, missing

    if why := missing():
        pytest.skip(why)
    with api_server(tmp_path_factory.mktemp("kubernetes")) as environment:
        yield environment


@pytest.fixture(scope="module")
def empty_api_server(api_server_environment: Mapping[str, str]) -> Mapping[str, str]:
    """The same, without any object that another module left."""
    names = _kubectl(api_server_environment, "get", "crd", "--output=name").split()
    kinds = ",".join(name.partition("/")[2] for name in names)
    _kubectl(api_server_environment, "delete", kinds, "--all", "--all-namespaces")
    left = _kubectl(api_server_environment, "get", kinds, "--all-namespaces", "--output=name")
    assert not left, f"the API server still has {left}"
    return api_server_environment


def _kubectl(environment: Mapping[str, str], *arguments: str) -> str:
    """Its output. Raises CalledProcessError."""
    return subprocess.run(
        ["kubectl", *arguments], env=dict(environment), capture_output=True, text=True, check=True
    ).stdout
