"""How people are told: a signed webhook, and mail. Messages hold no secret and no user's words.

The webhook is signed as Standard Webhooks (https://www.standardwebhooks.com) says: headers
`webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature`, `v1,` and the base64 of
HMAC-SHA256 over `{id}.{timestamp}.{body}`. The id is that of the message, also when it is sent
again, so a receiver can tell. Mail is RFC 5322 by SMTP (RFC 5321), with TLS where it is configured.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Protocol

import orjson

from data_contracts.config import Smtp
from data_contracts.errors import MissingPart, ServiceUnavailable
from serving.webhook_signature import signature

TIMEOUT_SECONDS = 5.0
LONGEST_LINE = 200  # characters of a title in a message


@dataclass(frozen=True)
class Message:
    """`id` stays the same when it is sent again. `subject` is one line."""

    id: str
    to: str
    subject: str
    text: str
    incident: int
    severity: str
    state: str


class Notifier(Protocol):
    """Raises ServiceUnavailable or MissingPart where the message did not go out."""

    def send(self, message: Message) -> None: ...


@dataclass(frozen=True)
class Webhook:
    """`address` gives a person's URL or None; what it holds is a secret and appears nowhere."""

    address: Callable[[str], str | None]
    secret: Callable[[], str]
    clock: Callable[[], datetime]

    def send(self, message: Message) -> None:
        import httpx

        url = self.address(message.to)
        if not url:
            raise MissingPart(f"{message.to} has no webhook address; set the variable that "
                              "webhook_variable of on_call.yaml names")  # fmt: skip
        body = orjson.dumps(
            {
                "type": "incident", "incident": message.incident, "severity": message.severity,
                "state": message.state, "subject": message.subject, "text": message.text,
            }
        )  # fmt: skip
        try:
            answer = httpx.post(
                url, content=body, headers=self._headers(message, body),
                timeout=TIMEOUT_SECONDS, follow_redirects=False,
            )  # fmt: skip
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            problem = type(error).__name__  # its text may hold the address
            raise ServiceUnavailable(f"webhook of {message.to}: {problem}") from None
        if not answer.is_success:
            raise ServiceUnavailable(f"webhook of {message.to} answered {answer.status_code}")

    def _headers(self, message: Message, body: bytes) -> dict[str, str]:
        sent_at = str(int(self.clock().timestamp()))
        return {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": sent_at,
            "webhook-signature": signature(self.secret(), message.id, sent_at, body),
        }


@dataclass(frozen=True)
class Mail:
    """`address` gives a person's address or None; `password` is asked for where a user is set."""

    settings: Smtp | None
    address: Callable[[str], str | None]
    password: Callable[[], str]

    def send(self, message: Message) -> None:
        settings, to = self.settings, self.address(message.to)
        if settings is None:
            raise MissingPart("no mail server is configured; set incidents.smtp")
        if to is None:
            raise MissingPart(f"{message.to} has no mail address; add it to on_call.yaml")
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = settings.sender, to, one_line(message.subject)
        mail["Message-ID"] = f"<{message.id}@{settings.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notes, please
        mail.set_content(message.text)
        try:
            with smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_SECONDS) as server:
                if settings.starttls:
                    server.starttls(context=ssl.create_default_context())
                if settings.user:
                    server.login(settings.user, self.password())
                server.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            where = f"mail server {settings.host}:{settings.port}"
            raise ServiceUnavailable(f"{where}: {type(error).__name__}") from None


def one_line(text: str) -> str:
    """Printable, and short enough for a pager: nothing can become a header or a terminal's command.

    >>> one_line("a\\r\\nBcc: b\\x1b[2J")
    'a Bcc: b [2J'
    """
    shown = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return shown if len(shown) <= LONGEST_LINE else f"{shown[: LONGEST_LINE - 1]}…"
