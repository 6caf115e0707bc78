"""Who can reach a model server, and what protects it: loopback, tokens, TLS."""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass

from data_contracts.config import Serving, TransportSecurity
from data_contracts.errors import ConfigurationError
from serving.tokens import TOKENS, Tokens, read_tokens


@dataclass(frozen=True)
class Protection:
    """What a server asks of its clients; None where it asks for nothing."""

    tokens: Tokens | None = None
    tls: TransportSecurity | None = None


def open_protection(address: str, settings: Serving) -> Protection:
    """Of a server that listens on `address`.

    Raises ConfigurationError for an address beyond loopback without authentication, for tokens
    that are missing or weak, and for a certificate that does not fit its key.
    """
    if not (_is_loopback(address) or settings.authentication == "tokens" or settings.insecure):
        raise ConfigurationError(
            f"serving.host {settings.host!r} can be reached from other machines, and "
            "serving.authentication is none: anyone could ask, and unload the model. Listen on "
            f"127.0.0.1; or set serving.authentication: tokens and {TOKENS}; or, where something "
            "else keeps strangers out, serving.insecure: true"
        )
    if settings.tls is not None:
        _check_certificate(settings.tls)
    return Protection(read_tokens(settings), settings.tls)


def _is_loopback(address: str) -> bool:
    """Of an address that a socket is bound to.

    >>> _is_loopback("127.0.0.2"), _is_loopback("::1"), _is_loopback("0.0.0.0"), _is_loopback("::")
    (True, True, False, False)
    """
    return ipaddress.ip_address(address).is_loopback


def _check_certificate(tls: TransportSecurity) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            tls.certificate, tls.key, password=_no_password
        )
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise ConfigurationError(
            f"serving.tls: certificate {tls.certificate} and key {tls.key} cannot be used "
            f"({error}); give a PEM certificate and its own PEM key, without a password"
        ) from None


def _no_password() -> str:
    raise ValueError("the key asks for a password")
