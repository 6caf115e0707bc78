"""Who has a token may ask; what is open is open; what is weak is refused at start."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from data_contracts.config import Serving, load_settings
from data_contracts.errors import ConfigurationError
from serving.authentication import Authenticated
from serving.exposure import open_protection
from serving.meter import Meter
from serving.tokens import TOKENS, Tokens, own_headers, read_tokens

FIRST, SECOND = "first-token-0123456789", "second-token-9876543210"
SERVING = load_settings({}).serving


def with_changes(**changes: object) -> Serving:
    return Serving.model_validate({**SERVING.model_dump(), **changes})


class Counted(Meter):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, str, str, str]] = []

    def refused(self, protocol: str, status: str, priority: str, arm: str) -> None:
        self.seen.append((protocol, status, priority, arm))


async def answering(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"let in"})


def ask(
    path: str, method: str = "GET", authorization: bytes | None = None, meter: Meter | None = None
) -> tuple[int, dict[bytes, bytes]]:
    front = Authenticated(answering, Tokens([FIRST, SECOND]), meter or Counted())
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if authorization is None else [(b"authorization", authorization)]
    scope = {"type": "http", "path": path, "method": method, "headers": headers}
    asyncio.run(front(scope, None, send))  # type: ignore[arg-type]
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize(
    "path",
    ["/", "/v2/health/live", "/v2/health/ready", "/v2/models/spam/ready", "/v1/models/spam",
     "/v2/models/spam/versions/7/ready"],
)  # fmt: skip
def test_health_and_readiness_need_no_token(path: str) -> None:
    assert ask(path)[0] == 200
    assert ask(path, "POST")[0] == 401


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/v2", "/v2/models", "/v2/models/spam", "/v1/models", "/openapi.json",
     "/v2/health/live\n", "/v2/models/spam/infer", "/v1/models/spam:predict"],
)  # fmt: skip
def test_everything_else_needs_one(path: str) -> None:
    status, headers = ask(path)
    assert (status, headers[b"www-authenticate"]) == (401, b'Bearer realm="weir"')
    for token in (FIRST, SECOND):
        assert ask(path, authorization=f"Bearer {token}".encode())[0] == 200


@pytest.mark.parametrize(
    "authorization",
    [b"", b"Bearer", b"Bearer ", f"Basic {FIRST}".encode(), f"Bearer {FIRST}x".encode(),
     f"Bearer {FIRST[:-1]}".encode(), f"Bearer {FIRST},{SECOND}".encode(), b"Bearer \xff\xfe"],
)  # fmt: skip
def test_what_is_almost_a_token_is_refused_as_invalid(authorization: bytes) -> None:
    status, headers = ask("/v2", authorization=authorization)
    assert status == 401
    assert headers[b"www-authenticate"] == b'Bearer realm="weir", error="invalid_token"'


def test_inference_without_a_token_is_counted_and_nothing_else() -> None:
    meter = Counted()
    ask("/v2/models/spam/infer", "POST", meter=meter)
    ask("/v1/models/spam:predict", "POST", meter=meter)
    ask("/metrics", meter=meter)
    assert meter.seen == [
        ("v2", "401", "normal", "stable"),
        ("v1", "401", "normal", "stable"),
    ]


def test_tokens_come_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    asked = with_changes(authentication="tokens")
    found = read_tokens(asked, {TOKENS: f"{FIRST}, {SECOND}\n"})
    assert found is not None
    assert found.refusal(f"Bearer {SECOND}".encode()) is None
    file = tmp_path / "tokens"
    file.write_text(f"\n{FIRST}\n")
    found = read_tokens(with_changes(authentication="tokens", tokens_file=file), {TOKENS: SECOND})
    assert found is not None
    assert found.refusal(f"Bearer {FIRST}".encode()) is None
    assert found.refusal(f"Bearer {SECOND}".encode()) is not None
    assert read_tokens(SERVING, {TOKENS: FIRST}) is None


def test_our_own_clients_bring_the_first_token_as_it_is_now(tmp_path: Path) -> None:
    assert own_headers(SERVING, {TOKENS: FIRST}) == {}
    asked = with_changes(authentication="tokens")
    sent = own_headers(asked, {TOKENS: f"{SECOND},{FIRST}"})
    assert sent == {"authorization": f"Bearer {SECOND}"}
    file = tmp_path / "tokens"
    asked = with_changes(authentication="tokens", tokens_file=file)
    for token in (FIRST, SECOND):
        file.write_text(f"{token}\n")
        assert own_headers(asked, {}) == {"authorization": f"Bearer {token}"}
        status, _ = ask("/v2", authorization=own_headers(asked, {})["authorization"].encode())
        assert status == 200
    with pytest.raises(ConfigurationError, match="there is none"):
        own_headers(with_changes(authentication="tokens"), {})


@pytest.mark.parametrize(
    ("tokens", "problem"),
    [("", "there is none"), ("short", "token 1 of 1 has 5 characters"),
     (f"{FIRST} {'ü' * 20}", "token 2 of 2 has 20 characters")],
)  # fmt: skip
def test_no_token_or_a_weak_one_is_refused_at_start_and_never_shown(
    tokens: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        read_tokens(with_changes(authentication="tokens"), {TOKENS: tokens})
    assert not tokens or tokens not in str(raised.value)


def test_a_tokens_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    asked = with_changes(authentication="tokens", tokens_file=tmp_path / "none")
    with pytest.raises(ConfigurationError, match=r"tokens_file .*none: FileNotFoundError"):
        read_tokens(asked, {})


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7"])  # noqa: S104
def test_beyond_loopback_a_server_needs_authentication_or_a_word_that_it_may_do_without(
    address: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"serving\.insecure: true"):
        open_protection(address, SERVING)
    assert open_protection(address, with_changes(insecure=True)).tokens is None
    file = tmp_path / "tokens"
    file.write_text(FIRST)
    asked = with_changes(authentication="tokens", tokens_file=file)
    assert open_protection(address, asked).tokens is not None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1"])
def test_on_loopback_nothing_is_asked_for(address: str) -> None:
    assert open_protection(address, SERVING).tokens is None


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "certificate.pem"
    broken.write_text("no certificate")
    tls = {"certificate": broken, "key": tmp_path / "key.pem"}
    with pytest.raises(ConfigurationError, match=r"certificate\.pem and key .*key\.pem"):
        open_protection("127.0.0.1", with_changes(tls=tls))
