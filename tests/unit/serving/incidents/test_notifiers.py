"""Webhook and mail, against real servers on loopback."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import orjson
import pytest
from pydantic import ValidationError

from data_contracts.config import Smtp
from data_contracts.errors import MissingPart, ServiceUnavailable
from serving.incidents.notifiers import Mail, Message, Webhook
from tests.stand_ins.incident_world import START
from tests.stand_ins.mail_server import mail_server

MESSAGE = Message("incident-7-0-0-webhook", "ada", "[major] incident 7: Slow", "text\n", 7, "major",
                  "open")  # fmt: skip
SECRET = "no secret at all"


class Receiver(BaseHTTPRequestHandler):
    got: ClassVar[list[tuple[dict[str, str], bytes]]] = []
    status: ClassVar[int] = 204

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.got.append((headers, body))
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def address() -> Iterator[str]:
    Receiver.got.clear()
    Receiver.status = 204
    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook?token=hidden"
        server.shutdown()
        thread.join()


def webhook(address: str | None) -> Webhook:
    return Webhook(lambda person: address, lambda: SECRET, lambda: START)


def test_a_webhook_is_signed_as_standard_webhooks_say(address: str) -> None:
    webhook(address).send(MESSAGE)
    ((headers, body),) = Receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert headers["webhook-id"] == MESSAGE.id
    assert orjson.loads(body)["incident"] == 7


def test_a_webhook_that_answers_an_error_or_nothing_says_so_without_its_address(
    address: str,
) -> None:
    Receiver.status = 500
    with pytest.raises(ServiceUnavailable, match="webhook of ada answered 500") as said:
        webhook(address).send(MESSAGE)
    assert "hidden" not in str(said.value)
    with pytest.raises(ServiceUnavailable, match="ConnectError") as said:
        webhook("http://127.0.0.1:9/hook?token=hidden").send(MESSAGE)
    assert "hidden" not in str(said.value)
    with pytest.raises(MissingPart, match="ada has no webhook address"):
        webhook(None).send(MESSAGE)


def mail(port: int) -> Mail:
    settings = Smtp(host="127.0.0.1", port=port, sender="weir@weir.example", starttls=False)
    return Mail(settings, {"ada": "ada@weir.example"}.get, lambda: SECRET)


def test_a_mail_arrives_with_its_words_and_no_header_that_was_slipped_in() -> None:
    with mail_server() as box:
        mail(box.port).send(replace(MESSAGE, subject="bad\r\nBcc: eve@evil.example"))
    (got,) = box.mails
    assert got["Subject"] == "bad Bcc: eve@evil.example"
    assert got["Bcc"] is None
    assert got["Message-ID"] == "<incident-7-0-0-webhook@weir.example>"
    assert box.recipients == ["rcpt TO:<ada@weir.example>"]
    assert str(got.get_payload()).strip() == "text"


def test_a_mail_server_that_refuses_or_is_gone_and_a_person_without_address_are_told_apart() -> (
    None
):
    with mail_server() as box:
        box.refuse = True
        with pytest.raises(ServiceUnavailable, match="SMTPRecipientsRefused"):
            mail(box.port).send(MESSAGE)
        port = box.port
    with pytest.raises(ServiceUnavailable, match="ConnectionRefusedError"):
        mail(port).send(MESSAGE)
    with pytest.raises(MissingPart, match="bo has no mail address"):
        mail(port).send(replace(MESSAGE, to="bo"))
    with pytest.raises(MissingPart, match=r"set incidents\.smtp"):
        Mail(None, lambda person: "x@y.example", lambda: "").send(MESSAGE)


def test_a_login_without_tls_is_refused_in_the_configuration() -> None:
    with pytest.raises(ValidationError, match="travels in the clear"):
        Smtp(host="h", port=25, sender="a@b.c", starttls=False, user="weir")
