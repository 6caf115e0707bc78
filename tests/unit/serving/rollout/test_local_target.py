"""How the local target asks its model servers; what every target does is in the behaviour suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_contracts.config import Serving, TransportSecurity, load_settings
from data_contracts.errors import ConfigurationError
from serving.rollout.targets.base import Deployment
from serving.rollout.targets.local import LocalTarget, data_plane, local_target
from serving.tokens import TOKENS
from tests.stand_ins.controller_process import MODEL_SERVER
from tests.stand_ins.data_plane import wait_for
from tests.stand_ins.ports import free_ports

GUARDED = Deployment("stand-in/guarded", "1")
TOKEN = "0123456789abcdef-first"


def serving(**changes: object) -> Serving:
    """With ports that are free."""
    first = free_ports(5)
    ports = {"gateway_port": first, "envoy_admin_port": first + 1, "first_slot_port": first + 2}
    return load_settings({}).serving.model_copy(update={**ports, **changes})


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKENS, TOKEN)


@pytest.fixture
def target(tmp_path: Path, token: None) -> Iterator[LocalTarget]:
    """With stand-in servers, and with authentication."""
    made = local_target(serving(authentication="tokens"), tmp_path)
    made._server = MODEL_SERVER
    yield made
    made.stop_servers()


def test_a_server_that_asks_for_a_token_is_warmed_up_with_it(target: LocalTarget) -> None:
    target.deploy("a", GUARDED.model_uri, GUARDED.version)
    wait_for(lambda: target.ready("a"), f"the server\n{target.last_words('a')}")


def test_without_the_token_such_a_server_never_gets_ready(tmp_path: Path, token: None) -> None:
    target = LocalTarget(data_plane(serving(), tmp_path), tmp_path, MODEL_SERVER)
    target.deploy("a", GUARDED.model_uri, GUARDED.version)
    try:
        wait_for(lambda: target._answers("a"), "the server")
        assert not target.ready("a")
    finally:
        target.stop_servers()


def test_a_token_that_is_missing_or_tls_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TOKENS, raising=False)
    with pytest.raises(ConfigurationError, match="there is none"):
        local_target(serving(authentication="tokens"), tmp_path)
    pair = TransportSecurity(certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem")
    with pytest.raises(ConfigurationError, match=r"serving\.tls is set"):
        local_target(serving(tls=pair), tmp_path)
